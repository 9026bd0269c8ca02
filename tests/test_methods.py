"""The rows of the table of methods: each runs, and each does what its equation says."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

import causalign as ca
from causalign.callbacks import silent
from causalign.counterfactuals.direction import Direction
from causalign.counterfactuals.interventions import interchange
from causalign.engine.activation_cache import lengthen
from causalign.engine.batch import Batch
from causalign.maps.base import AlignmentMap, random_frame
from causalign.methods.base import Method
from causalign.methods.registry import SHORTHANDS, method_of
from causalign.random_streams import torch_stream
from causalign.search.config import SearchConfig
from causalign.search.direction_sampling import sample_directions
from causalign.search.early_stopping import Evaluation
from causalign.search.objectives import Objective
from causalign.search.objectives import latent_loss as our_latent_loss
from causalign.search.rank_selection import RankSearches, RankTrial, SmallestRank, cut
from causalign.search.search import Search, SearchResult
from causalign.sites.readable import Readable
from causalign.tasks import by_name
from causalign.tasks.arithmetic import Arithmetic
from causalign.tasks.base import Sequences
from causalign.tasks.counting import MultiObject
from causalign.tasks.variable import Variable
from drawing import draw_rows, read_activations
from naive_networks import latent_loss, stepwise_pair
from naive_tasks import Counting as NaiveCounting

QUICK = ca.SearchConfig(max_steps=2, eval_every=1, batch_size=8)
SMALL: dict[str, Any] = {"n_train": 60, "n_validation": 40, "n_test": 30, "search": QUICK}
FULL = Variable.of("full")


def tiny_sites(at: str, count: int = 2, architecture: str = "gru", task: str = "multi-object") -> list[ca.sites.Site]:
    return [ca.networks.build(task, architecture, seed=i, width=6 + 2 * i).site(at) for i in range(count)]


@pytest.mark.parametrize("method", [method_of(name) for name in SHORTHANDS], ids=lambda method: method.label)
@pytest.mark.parametrize("architecture", ["gru", "lstm", "transformer"])
def test_every_method_runs_end_to_end(method: Method, architecture: str) -> None:
    sites = tiny_sites("embedding" if method.stepwise else "hidden", method.n_sites, architecture)
    rank: dict[str, Any] = {} if method.rank else {"rank": 2}
    alignment = ca.align(sites, method=method.label, **rank, **SMALL)
    objectives = method.objectives(method.n_sites)
    assert alignment.record.config.method == method
    assert len(alignment.iia) == len(objectives)
    assert len(alignment.untrained) == len(method.untrained(method.n_sites))
    shapes = [(site.width, alignment.record.rank if method.rank else 2) for site in sites]
    assert [a_map.frame.shape for a_map in alignment.maps] == shapes
    assert alignment.worst_iia == alignment.iia["iia"].min()
    assert alignment.record.steps == (2 if method.searches else 0)
    not_run = not all(objective.runs_target for objective in objectives.values())
    assert alignment.record.inaccessible == (alignment.record.sites[-1].name if not_run else None)


@pytest.mark.parametrize("method", [ca.MAS(latent_weight=2.0), ca.DAS(latent_weight=2.0), ca.Stitch(latent_weight=2.0)])
def test_every_trained_direction_can_have_a_latent_part(method: Method) -> None:
    sites = tiny_sites("hidden", method.n_sites)
    plain = type(method)()
    found, without = (ca.align(sites, method=each, rank=2, seed=4, **SMALL) for each in (method, plain))
    assert found.history["worst_iia"].notna().all()  # its targets are run
    assert found.history["loss"].iloc[-1] > without.history["loss"].iloc[-1]


def test_an_objective_is_the_weighted_sum_of_its_parts() -> None:
    sites, into = tiny_sites("hidden"), [Direction(0, 1)]
    drawn = draw_rows(sites, [FULL] * 2, into, read_activations(sites, 50, 0, "x"), 50, 0, "x", latent_directions=into)
    batches, swapped = [drawn[into[0]].take(torch.arange(20))], [torch.randn(20, 8, generator=torch_stream(1))]
    behavior, latent = (objective.loss(sites[1], batches, swapped) for objective in (Objective(), Objective(0.0, 1.0)))
    both = Objective(behavior=0.5, latent=3.0).loss(sites[1], batches, swapped)
    torch.testing.assert_close(both, 0.5 * behavior + 3.0 * latent)
    for wrong in ({"behavior": -1.0}, {"behavior": 0.0}, {"latent": float("nan")}):
        with pytest.raises(ca.InvalidArgument, match=r"of an objective is at least 0|above 0; found none"):
            Objective(**wrong)


@pytest.mark.parametrize("task", ["same-object", "modulo", "rounding", "arithmetic"])
@pytest.mark.parametrize("architecture", ["gru", "transformer"])
def test_every_task_aligns(task: str, architecture: str) -> None:
    (site,) = tiny_sites("hidden", 1, architecture, task)
    for variable in by_name(task).variables[:2] if task != "arithmetic" else ("remaining_ops", "cumulative_value"):
        assert len(ca.align(site, method="das", variable=variable, rank=2, **SMALL).iia) == 1
    assert len(ca.align(site, method="das", rank=2, **SMALL).iia) == 1


@dataclass(frozen=True)
class Nearness(Objective):
    """The distance of swapped states from where they were."""

    def loss(self, site: Readable, batches: Sequence[Batch], swapped: Sequence[Tensor]) -> Tensor:
        return sum((s - b.target_states).square().mean() for s, b in zip(swapped, batches, strict=True))  # type: ignore[return-value]


@dataclass(frozen=True)
class Staying(ca.Method):
    name = "staying"
    n_sites = 2
    more_sites = True

    def objectives(self, n_sites: int) -> dict[Direction, Objective]:
        return {Direction(i, 0): Nearness() for i in range(n_sites)}


def test_a_method_with_an_objective_of_one_s_own_is_a_dozen_lines() -> None:
    alignment = ca.align(tiny_sites("hidden", 3), method=Staying(), rank=2, **SMALL)
    assert alignment.record.method == "staying"
    assert len(alignment.iia) == 3


# --- the inaccessible network


@pytest.mark.parametrize("inaccessible", [0, 1])
@pytest.mark.parametrize("architecture", ["gru", "transformer"])
def test_clmas_never_runs_the_inaccessible_network_in_the_search(
    inaccessible: int, architecture: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sites = tiny_sites("hidden", architecture=architecture)
    searching: list[bool] = []

    def refuse(*_: object) -> None:
        if searching:
            raise AssertionError("the inaccessible network was run")

    def search_under_guard(*arguments: Any) -> Any:
        searching.append(True)
        found = real_go_on(*arguments)
        searching.clear()
        return found

    real_go_on, real_run_on = Search.go_on, sites[inaccessible].run_from

    def guarded_run_on(*given: Any) -> Tensor:
        refuse()
        return real_run_on(*given)

    monkeypatch.setattr(Search, "go_on", search_under_guard)
    monkeypatch.setattr(sites[inaccessible], "run_from", guarded_run_on)
    for module in sites[inaccessible].network.modules():
        module.register_forward_pre_hook(refuse)
    alignment = ca.align(sites, method=ca.CLMAS(inaccessible), rank=3, **SMALL)
    assert len(alignment.iia) == 4
    assert alignment.record.history[-1].worst_iia is not None  # of the accessible target
    assert alignment.record.history[-1].validation_loss is not None
    with pytest.raises(AssertionError, match="was run"):
        ca.align(sites, method="mas", rank=3, **SMALL)


def test_the_latent_objective_is_equation_8() -> None:
    sites, both = tiny_sites("hidden"), [Direction(0, 1), Direction(1, 1)]
    recorded = read_activations(sites, 50, 0, "x")
    drawn = draw_rows(sites, [FULL] * 2, both, recorded, 50, 0, "x", latent_directions=both)
    batches = [drawn[direction].take(torch.arange(20)) for direction in both]
    swapped = [torch.randn(20, 8, generator=torch_stream(i)) for i in range(2)]
    expected = sum(
        latent_loss(batch.latents, states)
        for batch, states in zip(batches, swapped, strict=True)
        if batch.latents is not None
    )
    assert float(our_latent_loss(sites[1], batches, swapped)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("variable", ["full", "count"])
def test_counterfactual_latents_have_the_values_that_are_expected_after_the_swap(variable: str) -> None:
    sites, into = tiny_sites("hidden"), Direction(0, 1)
    recorded = read_activations(sites, 60, 0, "x")
    variables = [Variable.of(variable)] * 2
    drawn = draw_rows(sites, variables, [into], recorded, 400, 0, "x", latent_directions=[into])[into]
    known: dict[tuple[int, ...], list[int]] = {}
    rows = recorded[1].row(recorded[1].trial, recorded[1].position)
    for trial, position, state in zip(recorded[1].trial, recorded[1].position, rows, strict=True):
        value = tuple(int(recorded[1].trials.values[name][trial, position]) for name in ("phase", "count"))
        known.setdefault(value, []).append(int(state))
    assert drawn.latent_rows is not None
    assert drawn.missing_latents is not None
    for row, phase, count in zip(drawn.latent_rows, drawn.values["phase"], drawn.values["count"], strict=True):
        assert int(row) in known[int(phase), int(count)]
    assert not set(drawn.missing_latents) & set(known)
    assert len(drawn) + sum(drawn.missing_latents.values()) == 400
    all_drawn = draw_rows(sites, variables, [into], recorded, 400, 0, "x")[into]
    pairs = zip(all_drawn.values["phase"].tolist(), all_drawn.values["count"].tolist(), strict=True)
    lacking = [pair for pair in pairs if pair not in known]
    assert drawn.missing_latents == {pair: lacking.count(pair) for pair in set(lacking)}
    assert variable == "full" or lacking


def test_interventions_without_a_latent_are_reported() -> None:
    alignment = ca.align(tiny_sites("hidden"), method="clmas", variable="count", rank=2, **SMALL)
    table = alignment.unmatched
    assert list(table.columns) == ["source", "target", "split", "values", "count"]
    assert set(table["split"]) == {"train", "validation"}
    assert set(table["target"]) == {alignment.record.inaccessible}
    assert (table["count"] > 0).all()
    assert len(ca.align(tiny_sites("hidden"), rank=2, **SMALL).unmatched) == 0


# --- stepwise


def test_a_trial_is_lengthened_by_the_filler_in_place_of_its_end() -> None:
    task = MultiObject()
    trials = task.trials(30, np.random.default_rng(0))
    longer, there = lengthen(task, trials, 50)
    for row in range(30):
        own = task.vocabulary.decode(trials.tokens[row]).split()[:-1]
        assert task.vocabulary.decode(longer.tokens[row]).split() == own + ["R"] * (50 - len(own))
        assert (np.diff(longer.values["count"][row, len(own) - 1 :]) == -1).all()
    assert there.all()
    without, there = lengthen(Arithmetic(), Arithmetic().trials(5, np.random.default_rng(0)), 70)
    assert (there.sum(axis=1) == (np.isin(without.tokens, (0, 2), invert=True)).sum(axis=1)).all()


@pytest.mark.parametrize("variable", ["full", "count"])
def test_stepwise_interventions_pair_all_positions_up_to_the_source_s(variable: str) -> None:
    tasks = ["multi-object", "same-object"]
    sites = [ca.networks.build(task, "gru", seed=0, width=12).site("embedding") for task in tasks]
    naive = [NaiveCounting(task) for task in tasks]
    recorded = read_activations(sites, 40, 0, "x", stepwise=True)
    every = [Direction(s, t) for s in range(2) for t in range(2)]
    drawn = draw_rows(sites, [Variable.of(variable)] * 2, every, recorded, 40, 0, "x", stepwise=True)
    for (source, target), interventions in drawn.items():
        of, into = sites[source].task, sites[target].task
        named = _spelt(sites[source], interventions.source_states), _spelt(sites[target], interventions.target_states)
        for row in range(40):
            length = int(interventions.places.position[row]) + 1
            given, received = (names[row][:length] for names in named)
            of_target = recorded[target].trials
            assert isinstance(of_target, Sequences)
            trial = of_target.tokens[int(interventions.places.trial[row])]
            assert into.filler is not None
            assert received == stepwise_pair(given, length - 1, into.vocabulary.decode(trial).split(), into.filler)
            assert given[-1] in of.swap_at
            of_source = naive[source].variables(given)[-1]
            if variable == "full":
                expected = of_source
            else:
                expected = {"phase": "response" if "T" in received else "demo", "count": of_source["count"]}
            rest = into.vocabulary.decode(interventions.tokens[row].numpy()).split()
            assert naive[target].obeys(expected, rest, interventions.determined[row, : len(rest)].tolist()) is None


def test_latents_are_not_of_stepwise_swaps() -> None:
    with pytest.raises(
        ca.CausalignError, match="mas-stepwise has no latent objective: .* latents are of single states"
    ):
        ca.MAS(stepwise=True, latent_weight=1.0)


def test_the_inaccessible_site_on_record_is_the_one_that_was() -> None:
    latents = ca.align(tiny_sites("hidden"), method="latent-stitch", rank=2, **SMALL).record
    assert latents.inaccessible == latents.sites[1].name
    both = ca.align(tiny_sites("hidden"), method=ca.CLMAS(inaccessible=0, latent_weight=7.0), rank=2, **SMALL).record
    assert both.inaccessible == both.sites[0].name
    assert both.config.method == ca.CLMAS(inaccessible=0, latent_weight=7.0)


def test_a_narrow_range_is_drawn_like_any_other() -> None:
    sites, into = tiny_sites("hidden"), Direction(0, 1)
    recorded = read_activations(sites, 2000, 0, "x")
    drawn = draw_rows(sites, [Variable("count", 20, 20)] * 2, [into], recorded, 300, 0, "x")[into]
    assert len(drawn) == 300
    assert set(drawn.values["count"].tolist()) == {20}


def _spelt(site: ca.sites.Site, states: Tensor) -> list[list[str]]:
    """The tokens whose embeddings these are."""
    ids = torch.arange(len(site.task.vocabulary))[None]
    table = site.read(ids)[0]
    found = torch.cdist(states, table).argmin(-1)
    return [[site.task.vocabulary.tokens[i] for i in row] for row in found.tolist()]


# --- variables that differ


def test_a_count_is_aligned_with_the_remaining_operations() -> None:
    sites = [ca.networks.build(task, "gru", seed=0, width=8).site("hidden") for task in ("multi-object", "arithmetic")]
    both = [Direction(0, 1), Direction(1, 0)]
    variables = [Variable.of("count"), Variable.of("remaining_ops")]
    drawn = draw_rows(sites, variables, both, read_activations(sites, 300, 0, "x"), 2000, 0, "x")
    into_arithmetic, into_counting = (drawn[direction].values for direction in both)
    assert set(into_arithmetic["remaining_ops"].tolist()) == set(range(1, 11))  # 11 to 20 mean nothing there
    assert set(into_counting["count"].tolist()) == set(range(1, 10))  # after a comma at most 9 remain
    alignment = ca.align(sites, variable=("count", "remaining_ops"), rank=2, **SMALL)
    assert alignment.iia["variable"].tolist() == [
        "count",
        "count -> remaining_ops",
        "remaining_ops -> count",
        "remaining_ops",
    ]


def test_a_range_holds_in_every_direction() -> None:
    sites = [ca.networks.build(task, "gru", seed=0, width=8).site("hidden") for task in ("multi-object", "arithmetic")]
    every = [Direction(s, t) for s in range(2) for t in range(2)]
    variables = [Variable.of("count"), Variable.of("cumulative_value[1..10]")]
    drawn = draw_rows(sites, variables, every, read_activations(sites, 300, 0, "x"), 2000, 0, "x")
    for (source, target), interventions in drawn.items():
        found = set(interventions.values["count" if target == 0 else "cumulative_value"].tolist())
        assert found == (set(range(1, 11)) if 1 in (source, target) else set(range(21)))
    alignment = ca.align(sites, variable=("count", "cumulative_value[1..10]"), rank=2, **SMALL)
    assert alignment.record.variable == ("count", "cumulative_value[1..10]")


# --- many networks, ranks, starts


@given(sites=st.integers(1, 9), passes=st.integers(1, 9), seed=st.integers(0, 99))
def test_a_step_s_directions_touch_every_map_as_often(sites: int, passes: int, seed: int) -> None:
    every = [Direction(s, t) for s in range(sites) for t in range(sites)]
    chosen = sample_directions(every, sites, passes, np.random.default_rng(seed))
    times = min(passes, sites)
    assert len(set(chosen)) == len(chosen) == sites * times
    for end in zip(*chosen, strict=True):
        assert np.bincount(end, minlength=sites).tolist() == [times] * sites
    assert sample_directions(every[1:], sites, passes, np.random.default_rng(seed)) == every[1:]


def test_four_networks_share_one_space() -> None:
    alignment = ca.align(tiny_sites("hidden", 4), rank=3, **SMALL)
    assert len(alignment.maps) == 4
    assert len(alignment.iia) == 16


def test_turning_the_aligned_space_changes_no_interchange() -> None:
    maps = [AlignmentMap(random_frame(width, 5, torch_stream(width)), 1.5) for width in (9, 7)]
    means = [torch.randn(12, width, generator=torch_stream(width, "means")) for width in (9, 7)]
    h_t, h_s = (torch.randn(4, width, generator=torch_stream(width, "states")) for width in (9, 7))
    turned = cut(maps, means, 5)
    torch.testing.assert_close(interchange(h_t, h_s, *turned), interchange(h_t, h_s, *maps), atol=1e-5, rtol=1e-4)
    for less, more in zip(cut(maps, means, 2), turned, strict=True):
        assert (less.frame.mT @ less.frame - torch.eye(2)).abs().max() < 1e-5
        torch.testing.assert_close(less.frame, more.frame[:, :2])


def test_the_cut_keeps_what_tells_the_values_apart() -> None:
    spread = torch.randn(50, 4, generator=torch_stream(0)) * torch.tensor([5.0, 0.1, 3.0, 0.2]) + 30  # wherever it is
    identity = AlignmentMap(torch.eye(4), 1.0)
    (kept,) = cut([identity], [spread], 2)
    assert kept.frame[[1, 3]].abs().max() < 0.05


def test_the_least_rank_is_within_the_tolerance_and_the_one_below_is_not(
    zoo_pair: tuple[ca.networks.GRU, ca.networks.GRU],
) -> None:
    quick: dict[str, Any] = {"n_train": 500, "n_validation": 200, "n_test": 200, "search": ca.SearchConfig(max_steps=0)}
    alignment = ca.align(zoo_pair[0].site("hidden"), method="das", rank=ca.SmallestRank(0.3), **quick)
    tried = {each.rank: each.worst_iia or 0.0 for each in alignment.record.ranks}
    enough = max(tried.values()) - 0.3
    assert alignment.record.ranks[0].rank == 128
    assert alignment.maps[0].rank == alignment.record.rank < 32
    assert tried[alignment.record.rank] >= enough
    assert alignment.record.rank == 1 or tried[alignment.record.rank - 1] < enough
    assert alignment.record.config.rank == ca.SmallestRank(tolerance=0.3)
    for method in ("latent-stitch", "procrustes"):
        with pytest.raises(ca.CausalignError, match="compares ranks by the IIA in the search, and .* has none"):
            ca.align(tiny_sites("hidden"), method=method, rank="auto", **SMALL)


def test_of_several_ranks_the_best_goes_on_as_if_there_were_no_other(
    zoo_pair: tuple[ca.networks.GRU, ca.networks.GRU],
) -> None:
    site = zoo_pair[0].site("hidden")
    settings = ca.SearchConfig(max_steps=8, eval_every=2, batch_size=32, initial_batch_size=32)
    quick: dict[str, Any] = {"n_train": 300, "n_validation": 200, "n_test": 200, "method": "das"}
    alignment = ca.align(site, rank=ca.BestRank([1, 8], trial_steps=4), search=settings, **quick)
    outdone, best = alignment.record.ranks
    assert (outdone.rank, outdone.steps, outdone.stopped) == (1, 4, "pruned")
    assert (best.rank, best.steps, best.stopped) == (8, 8, "max_steps")
    assert (best.worst_iia or 0) > (outdone.worst_iia or 0)
    alone = ca.align(site, rank=8, search=settings, **quick)
    assert torch.equal(alignment.maps[0].frame, alone.maps[0].frame)
    assert alignment.record.history == alone.record.history
    (first,) = ca.align(site, rank=[8, 1], search=settings.replace(target_iia=0.01), **quick).record.ranks
    assert (first.rank, first.stopped) == (8, "target_iia")
    little = settings.replace(min_delta=0.95)  # so that 0.05 leaves too little
    (first,) = ca.align(site, rank=[8, 1], search=little, **quick).record.ranks
    assert first.rank == 8
    for rank, message in (
        ([], r"BestRank takes a list of ranks, such as BestRank\(\[16, 32\]\); found \(\)"),
        ([8, 129], "from 1 to 128, .* found 129"),
    ):
        with pytest.raises(ca.CausalignError, match=message):
            ca.align(site, rank=rank, **quick)


class Scores(Search):
    """A search whose worst IIA depends on the rank as given."""

    def __init__(self, maps: Sequence[AlignmentMap], scores: dict[int, float]) -> None:
        self.maps, self.scores = maps, scores

    def go_on(self, until: int, callback: object = None) -> SearchResult:
        rank = self.maps[0].rank
        known = max(r for r in self.scores if r <= rank)
        evaluation = Evaluation(5, None, self.scores[known], self.scores[known])
        return SearchResult(tuple(self.maps), evaluation, (), 5, ca.StopReason.EARLY_STOPPING)


def smallest_rank(scores: dict[int, float]) -> tuple[SearchResult, list[RankTrial]]:
    searches = RankSearches(
        lambda maps: Scores(maps, scores),
        lambda rank: FULL_RANK,
        lambda: MEANS,
        16,
        SearchConfig(),
        silent,
        lambda maps, gate, steps: Scores(maps, scores),
    )
    return SmallestRank(0.03).find(searches)


FULL_RANK = [AlignmentMap(torch.eye(16), 1.0)]
MEANS = [torch.randn(30, 16, generator=torch_stream(0))]


def test_the_best_rank_need_not_be_the_full_one() -> None:
    # As for a single variable: at full rank the swap takes along what it should leave alone.
    scores = {1: 0.5, 3: 0.85, 4: 0.93, 8: 0.95, 12: 0.6, 16: 0.5}
    found, tried = smallest_rank(scores)
    assert found.maps[0].rank == 4
    assert [each.rank for each in tried] == [16, 8, 4, 2, 3]
    found, _ = smallest_rank({1: 0.9})
    assert found.maps[0].rank == 1


def test_procrustes_of_a_network_with_itself_is_exact(zoo_pair: tuple[ca.networks.GRU, ca.networks.GRU]) -> None:
    site = zoo_pair[0].site("hidden")
    alignment = ca.align([site, site], method="procrustes", rank=128, n_train=300, n_validation=50, n_test=300)
    assert alignment.worst_iia == 1
    assert (alignment.record.start, alignment.record.steps, alignment.record.stopped) == ("paired", 0, "closed_form")
    with pytest.raises(ca.CausalignError, match="paired states need the same trials"):
        ca.align([site, tiny_sites("hidden", 1, task="modulo")[0]], method="procrustes", rank=2, **SMALL)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"method": {"name": "clmas", "inaccessible": 2}}, "the index of one of 2 sites, found 2"),
        ({"method": {"name": "clmas", "latent_weight": 0.0}}, "latent_weight of clmas is a finite number above 0"),
        ({"method": {"name": "mas", "latent_weight": -1.0}}, "latent_weight of mas is a finite number at least 0"),
        ({"method": {"name": "mas", "inaccessible": 1}}, "unknown parameter of mas 'inaccessible'"),
        (
            {"method": {"name": "latent-stitch", "latent_weight": 1.0}},
            "unknown parameter of latent-stitch .*; known: none",
        ),
        ({"rank": {"tolerance": -1.0}}, "tolerance is a share from 0 to 1, found -1.0"),
        ({"rank": {"tolerence": 0.1}}, "unknown parameter of rank 'tolerence'; did you mean 'tolerance'"),
        ({"variable": "count[25..30]"}, r"no value of 'count' in .* is within count\[25..30\].*; found 0 to 20"),
        ({"method": "clmass"}, "unknown method 'clmass'; did you mean 'clmas'"),
        ({"method": "mas-stepwise"}, "cannot be swapped stepwise"),
        ({"variable": "count[3"}, "a variable must be written as"),
        ({"variable": "full[1..3]"}, "only a single variable can have a range"),
    ],
)
def test_what_does_not_fit_a_method_is_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ca.CausalignError, match=message):
        ca.align(tiny_sites("hidden"), **({"rank": 2} | SMALL | wrong))
