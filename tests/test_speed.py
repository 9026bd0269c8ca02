"""What makes it fast, or small, must not change what comes out."""

import dataclasses
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
import torch

import causalign as ca
from causalign.alignment.config import AlignmentConfig
from causalign.alignment.request import Request
from causalign.benchmarks import BENCHMARKS
from causalign.benchmarks import network_pair as _pair
from causalign.benchmarks.growth import Case, _measure
from causalign.benchmarks.measurement import Steps, in_child, in_turn
from causalign.callbacks import ProgressUpdate, silent
from causalign.counterfactuals.direction import Direction
from causalign.engine.run import run_interventions
from causalign.planning.meter import Meter
from causalign.storage import Store, rows_of
from causalign.tasks.variable import Variable
from causalign.timer import Timer
from drawing import draw_rows, read_activations

Pair = tuple[ca.networks.GRU, ca.networks.GRU]
QUICK = ca.SearchConfig(max_steps=2, eval_every=1, batch_size=8)
SMALL: dict[str, Any] = {"n_train": 40, "n_validation": 20, "n_test": 30, "search": QUICK, "rank": 3}


@pytest.mark.parametrize("architecture", ["gru", "transformer"])
def test_tables_in_files_give_the_alignment_that_memory_gives(architecture: str, tmp_path: Path) -> None:
    networks = [ca.networks.build("multi-object", architecture, seed, width=8) for seed in range(2)]
    sites = [network.site("hidden") for network in networks]
    in_memory = ca.align(sites, **SMALL)
    for memory in (0.0, 2e-5):  # all in files, and some
        in_files = ca.align(sites, **SMALL, memory=memory)
        for ours, theirs in zip(in_memory.maps, in_files.maps, strict=True):
            assert torch.equal(ours.frame, theirs.frame)
        assert in_memory.iia.equals(in_files.iia)


def test_a_store_counts_its_budget_and_says_when_the_disk_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(budget=1000 / 2**30)
    first = store.table([100], torch.float32, torch.device("cpu"))
    second = store.table([25, 4], torch.float64, torch.device("cpu"))
    second[3] = 7
    assert not first.any()
    assert second.sum() == 28
    assert second.untyped_storage().nbytes() == 800
    monkeypatch.setattr(tempfile, "gettempdir", lambda: "/")
    with pytest.raises(ca.CausalignError, match="fits neither into the memory allowed nor on the disk of /"):
        store.table([2**60], torch.float32, torch.device("cpu"))


def test_columns_lie_side_by_side_and_rows_come_back_as_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = torch.Generator().manual_seed(0)
    parts = {
        "flag": [torch.rand(n, 3, generator=rng) < 0.5 for n in (5, 2)],
        "number": [torch.randint(9, (n,), generator=rng, dtype=torch.int32) for n in (5, 2)],
        "wide": [torch.randn(5, 2, dtype=torch.float64), torch.randn(2, 4, dtype=torch.float64)],
    }
    monkeypatch.setattr(sys.modules["causalign.storage"], "_ROWS", 2)
    for store in (Store(1.0), Store(0.0)):
        columns = store.columns(parts)
        assert len({each.untyped_storage().data_ptr() for each in columns.values()}) == 1
        assert torch.equal(columns["flag"], torch.cat(parts["flag"]))
        assert torch.equal(columns["number"], torch.cat(parts["number"]))
        assert torch.equal(columns["wide"][:5, :2], parts["wide"][0])
        assert torch.equal(columns["wide"][5:], parts["wide"][1])
        assert not columns["wide"][:5, 2:].any()
        index = torch.tensor([[6, 0], [0, 3], [1, 1]])
        for chosen in (index, index[:0]):
            for name, rows in rows_of(columns, chosen).items():
                assert torch.equal(rows, columns[name][chosen])


def test_memory_does_not_grow_with_interventions_that_lie_in_files() -> None:
    held = {count: in_child(_measure, Case(interventions=count, memory=0.01), 4)[1] for count in (5_000, 100_000)}
    tables = 4 * 95_000 * 200 / 2**30  # GiB, at the very least
    assert held[100_000] - held[5_000] < tables


def test_many_interventions_are_drawn_in_parts(monkeypatch: pytest.MonkeyPatch, tiny_pair: Pair) -> None:
    site = tiny_pair[0].site("hidden")
    recorded, directions = read_activations([site], 50, 0, "x"), [Direction(0, 0)]

    def drawn() -> ca.CounterfactualRows:
        return draw_rows([site], [Variable("full")], directions, recorded, 50, 0, "x")[directions[0]]

    whole = drawn()
    monkeypatch.setattr(sys.modules["causalign.counterfactuals.from_task"], "_CHUNK", 20)
    parts = drawn()
    assert len(parts) == len(whole) == 50
    names = site.task.variables
    for index in range(50):  # each with the continuation of its own values
        responses = int((parts.tokens[index] == site.task.vocabulary.id("R")).sum())
        assert {name: int(parts.values[name][index]) for name in names}["count"] <= 20
        assert responses == 0 or int(parts.lengths[index]) >= responses
    assert not parts.tokens[torch.arange(parts.tokens.shape[1]) >= parts.lengths[:, None]].any()
    batch = parts.take(torch.tensor([0, 49]))
    assert batch.tokens.shape[1] == int(parts.lengths[[0, 49]].max())


@pytest.mark.parametrize("stepwise", [False, True])
@pytest.mark.parametrize("room", [True, False])
def test_what_is_fed_above_a_swap_is_kept_and_changes_nothing(
    stepwise: bool, room: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = ca.networks.build("multi-object", "transformer", 0, width=8).site("hidden")
    recorded, into = read_activations([site], 30, 0, "x", stepwise), Direction(0, 0)
    given = draw_rows([site], [Variable("full")], [into], recorded, 30, 0, "x", stepwise=stepwise)[into]
    assert given.lower_layers is not None
    if not room:
        monkeypatch.setattr(given.lower_layers._store, "table", Mock(side_effect=ca.CausalignError("full")))
    feeding = Mock(wraps=site.feed)
    monkeypatch.setattr(site, "feed", feeding)
    for chosen in ([3, 4, 5], [5, 3, 20, 3], [4, 20]):
        batch = given.take(torch.tensor(chosen))
        known = run_interventions(site, [batch], [batch.target_states]).features
        anew = run_interventions(site, [dataclasses.replace(batch, lower_layers=None)], [batch.target_states]).features
        torch.testing.assert_close(known, anew)
    # The first and the second batch bring something new, the third does not; and each is fed anew for comparison.
    assert feeding.call_count == (2 if room else 3) + 3


def test_a_search_ends_when_it_is_good_enough(zoo_pair: Pair) -> None:
    sites = [network.site("hidden") for network in zoo_pair]
    settings = ca.SearchConfig(target_iia=0.7, eval_every=5, batch_size=128)
    alignment = ca.align(sites, n_train=1000, n_validation=200, n_test=200, search=settings)
    assert alignment.record.stopped == "target_iia"
    assert alignment.history["worst_iia"].iloc[-1] >= 0.7 > alignment.history["worst_iia"].iloc[-2]
    with pytest.raises(ca.CausalignError, match="target_iia: Input should be less than or equal to 1, found '1.5'"):
        ca.SearchConfig(target_iia=1.5)


def test_a_search_ends_when_it_gains_too_little_and_keeps_the_best(
    zoo_pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("causalign.search.early_stopping.EarlyStopping._falls", lambda _: False)  # the IIA alone counts
    sites = [network.site("hidden") for network in zoo_pair]
    settings = ca.SearchConfig(initial_batch_size=64, batch_size=64, eval_every=5, patience=2, max_steps=20)
    few: dict[str, Any] = {"n_train": 1000, "n_validation": 200, "n_test": 200}
    on, ended = (ca.align(sites, **few, search=settings.replace(min_delta=g)) for g in (0.0, 0.9))
    assert (ended.record.stopped, ended.record.steps) == ("early_stopping", 10)
    assert on.record.steps > 10
    assert ended.record.best.step > 0  # small gains are kept all the same
    assert list(ended.history["worst_iia"]) == list(on.history["worst_iia"][:3])


def test_networks_may_be_run_in_bfloat16_to_learn(zoo_pair: Pair) -> None:
    sites = [network.site("hidden") for network in zoo_pair]
    found = {}
    for precision in ("float32", "bfloat16"):
        settings = ca.SearchConfig(max_steps=10, batch_size=128, precision=precision)
        found[precision] = ca.align(sites, n_train=1000, n_validation=200, n_test=200, search=settings)
    exact, rough = found.values()
    assert all(a_map.frame.dtype == torch.float32 for a_map in rough.maps)
    assert sites[0].dtype == torch.float32
    assert not torch.equal(exact.maps[0].frame, rough.maps[0].frame)
    overlap = torch.linalg.svdvals(exact.maps[0].frame.mT @ rough.maps[0].frame)
    assert overlap.min() > 0.98  # nearly the same subspace
    assert abs(exact.worst_iia - rough.worst_iia) < 0.1
    with pytest.raises(ca.CausalignError, match="unknown precision 'bfloat'; did you mean 'bfloat16'"):
        ca.SearchConfig(precision="bfloat")


def test_a_meter_counts_what_is_alive_and_what_is_multiplied() -> None:
    given = torch.ones(100, 50)
    with Meter() as meter:
        product = given @ given.mT
        del product
        torch.zeros(7, 3).addmm_(torch.ones(7, 5), torch.ones(5, 3))
    assert meter.peak == 4 * 100 * 100
    assert meter.operations == 2 * (100 * 100 * 50 + 7 * 3 * 5)


@pytest.mark.parametrize("method", ["mas", "clmas", "procrustes"])
def test_a_plan_knows_the_tables_and_the_operations(zoo_pair: Pair, method: str) -> None:
    sites = [network.site("hidden") for network in zoo_pair]
    settings = ca.SearchConfig(batch_size=64, max_steps=7, eval_every=3)
    counts: dict[str, Any] = {"n_train": 2000, "n_validation": 100, "n_test": 100}
    plan = ca.estimate(sites, method=method, search=settings, **counts)
    recorded = [
        each
        for split, count in (("train", 2000), ("validation", 100), ("test", 100))
        for each in read_activations(sites, count, 0, split)
    ]
    assert plan.tables * 2**30 > 0.8 * sum(each.nbytes for each in recorded)
    if method != "procrustes":
        drawn = _pair.interventions(sites, 1000)
        needed = _pair.step_operations(zoo_pair[0], 4 * 64, _pair.tokens_after(drawn), 16)
        if method == "clmas":  # one direction of two into each is run
            needed /= 2
        assert needed * 0.9 < plan.operations < needed * 1.3
        assert plan.seconds == pytest.approx(plan.preparation + 7 * plan.first_step + 4 * plan.evaluation + plan.score)
    assert plan.steps + plan.first_steps == (0 if method == "procrustes" else 7)
    assert plan.peak == plan.process + plan.tables + plan.working
    assert plan.disk == 0


def test_a_plan_counts_the_class_means_of_the_start() -> None:
    """Every row has a value of its own, so that the start holds as many means."""
    module = torch.nn.Sequential(torch.nn.Linear(5, 64), torch.nn.Tanh(), torch.nn.Linear(64, 4)).eval()
    rng, rows = np.random.default_rng(0), 20_000
    inputs: dict[str, Any] = {
        name: rng.normal(size=(rows, 5)).astype(np.float32) for name in ("source_inputs", "target_inputs")
    }
    labels = {"labels": rng.integers(4, size=rows).tolist(), "values": list(range(rows))}
    site = ca.Site(module.requires_grad_(False), "1", inputs=torch.randn(3, 5))
    data = ca.Counterfactuals.from_arrays(site, **inputs, **labels)
    plan = ca.estimate(data, method="das", rank=2, search=QUICK)
    request = Request.checked(data, AlignmentConfig.model_validate({"method": "das", "rank": 2, "search": QUICK}))
    context = request.context(Timer(), silent)
    request.rows(context)
    with Meter() as meter:
        request.starting_maps(2, context)
    assert meter.peak > 8 * 64 * data.counts["train"]
    assert plan.working * 2**30 == pytest.approx(meter.peak, rel=0.2)


def test_a_plan_counts_the_searches_of_controls(tiny_pair: Pair) -> None:
    plan = ca.estimate(tiny_pair[0].site("hidden"), method="das", rank=2, search=QUICK, controls=True)
    alone = dataclasses.replace(plan, controls=False)
    searching = alone.seconds - plan.preparation - plan.score
    assert plan.seconds == pytest.approx(2 * plan.preparation + 3 * searching + 2.5 * plan.score)


def test_a_plan_says_what_to_do_where_memory_lacks(monkeypatch: pytest.MonkeyPatch, tiny_pair: Pair) -> None:
    plan = ca.estimate(tiny_pair[0].site("hidden"), method="das", rank=2, memory=0.0)
    assert plan.disk == plan.tables > 0
    assert plan.too_much is None
    monkeypatch.setattr(sys.modules["causalign.planning.estimate"], "physical", lambda: 2**20)
    assert "a smaller batch_size" in str(plan.too_much)


def test_timing_takes_turns() -> None:
    order: list[str] = []
    medians = in_turn({name: lambda name=name: order.append(name) for name in "ab"}, 2)  # type: ignore[misc]
    assert order == list("ababab")
    assert set(medians) == {"a", "b"}
    timer, calls = Steps("search", {"rival": lambda: order.append("r")}), []
    for step in (1, 2, 2, 3, 4):
        timer(ProgressUpdate("search", step, 4))
        calls.append(order.count("r"))
    assert calls == [0, 1, 1, 2, 3]
    assert set(timer.medians()) == {"ours", "rival"}


def test_a_child_says_how_much_memory_it_held() -> None:
    given, memory = in_child(abs, -3)
    assert given == 3
    assert 0.05 < memory < 4


def test_a_benchmark_gives_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules["causalign.benchmarks.preparation"], "_COUNT", 16)
    (row,) = BENCHMARKS["preparation"](True)
    assert row.benchmark == "preparation"
    assert row.ratio == pytest.approx(row.theirs / row.ours)
    assert row.ours > 0


def _in_this_process(function: Callable[..., Any], *arguments: Any) -> tuple[Any, float]:
    return function(*arguments), 0.5


def test_growth_sets_each_case_beside_the_one_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        sys.modules["causalign.benchmarks.growth"], "_VALUES", {"width": ([16, 64], []), "interventions": ([100], [])}
    )
    monkeypatch.setattr(sys.modules["causalign.benchmarks.growth"], "in_child", _in_this_process)
    memory, width = BENCHMARKS["growth"](True)
    assert (memory.case, width.case) == ("memory 4.0 -> 0.1", "width 16 -> 64")
    assert width.ratio == pytest.approx(width.ours / width.theirs)


def test_a_network_of_half_precision_is_aligned_by_maps_that_are_not() -> None:
    networks = [
        ca.networks.build("multi-object", "transformer", seed, width=16).to(torch.bfloat16) for seed in range(2)
    ]
    alignment = ca.align([network.site("hidden") for network in networks], **SMALL)
    assert all(a_map.frame.dtype == torch.float32 for a_map in alignment.maps)
    assert alignment.history["loss"].iloc[1:].notna().all()


def test_good_enough_needs_an_iia_and_one_rank(zoo_pair: Pair) -> None:
    sites, settings = [network.site("hidden") for network in zoo_pair], ca.SearchConfig(target_iia=0.9)
    with pytest.raises(
        ca.CausalignError,
        match="latent-stitch selects maps by the validation loss, as a target is not run: leave out target_iia",
    ):
        ca.align(sites, method="latent-stitch", search=settings)
    with pytest.raises(ca.CausalignError, match="compares the best IIA of each rank: leave out target_iia"):
        ca.estimate(sites, rank="auto", search=settings)
