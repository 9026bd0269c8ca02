from collections.abc import Sequence
from dataclasses import replace as changed

import numpy as np
import pytest
import torch
from torch.nn import functional

import causalign as ca
from causalign.callbacks import ProgressUpdate
from causalign.counterfactuals.direction import Direction
from causalign.counterfactuals.interventions import interchange
from causalign.engine.batch import Batch
from causalign.maps import parametrization
from causalign.maps.base import AlignmentMap, TrainableMap, random_frame
from causalign.maps.gram_schmidt import GramSchmidt
from causalign.random_streams import numpy_stream, torch_stream
from causalign.search.config import SearchConfig
from causalign.search.initialisation import generalized_procrustes
from causalign.search.objectives import Objective, behavior_loss
from causalign.search.optimizers import Optimizers
from causalign.search.problem import Problem
from causalign.search.search import SearchResult, search
from causalign.sites.readable import Readable
from causalign.tasks.base import Sequences
from causalign.tasks.variable import Variable
from drawing import class_means, draw_rows, read_activations, record

ALL = [Direction(s, t) for s in range(2) for t in range(2)]


def problem_of(networks: tuple[ca.networks.GRU, ca.networks.GRU], count: int = 64) -> Problem:
    sites = [network.site("hidden") for network in networks]
    train, validation = (
        draw_rows(sites, [Variable.of("full")] * 2, ALL, read_activations(sites, count, 0, split), count, 0, split)
        for split in ("train", "validation")
    )
    return Problem(sites, interchange, dict.fromkeys(ALL, Objective()), train, validation)


def random_starts(widths: tuple[int, ...], rank: int, kind: str = "gram-schmidt") -> list[TrainableMap]:
    frames = [random_frame(width, rank, torch_stream(0, "start", i)) for i, width in enumerate(widths)]
    return [parametrization(kind)(AlignmentMap(frame, 1.0), train_scale=True) for frame in frames]


def test_the_behaviour_loss_is_equation_5(tiny_pair: tuple[ca.networks.GRU, ca.networks.GRU]) -> None:
    problem = problem_of(tiny_pair, count=10)
    batches = [problem.train[direction].take(torch.arange(10)) for direction in (Direction(0, 1), Direction(1, 1))]
    by_hand = 0.0
    for batch in batches:
        for row in range(len(batch)):
            hidden, total = batch.target_states[row], 0.0
            for token in batch.tokens[row, : batch.lengths[row]]:
                logits = tiny_pair[1].readout(hidden)
                total -= float(functional.log_softmax(logits, -1)[token])
                cell = tiny_pair[1].cell
                hidden = cell(tiny_pair[1].embedding(token)[None, None], hidden[None, None])[1][0, 0]
            by_hand += total / len(batch)
    ours = behavior_loss(problem.sites[1], batches, [batch.target_states for batch in batches])
    assert float(ours) == pytest.approx(by_hand, rel=1e-5)


def test_a_search_lowers_the_loss_from_a_random_start(zoo_pair: tuple[ca.networks.GRU, ca.networks.GRU]) -> None:
    problem = problem_of(zoo_pair, count=256)
    seen: list[ProgressUpdate] = []
    settings = SearchConfig(batch_size=64, max_steps=60, eval_every=20, patience=9)
    found = search(problem, random_starts((128, 128), 16, "expm"), settings, np.random.default_rng(0), seen.append)
    losses = [update.figures["loss"] for update in seen if "loss" in update.figures]
    assert np.mean(losses[-5:]) < 0.7 * np.mean(losses[:5])
    assert [look.step for look in found.history] == [0, 20, 40, 60]
    assert found.stopped == "max_steps"
    assert (found.history[-1].mean_iia or 0) > (found.history[0].mean_iia or 0) + 0.1
    assert seen[-1].step == seen[-1].total == 60


def test_evaluations_thin_out_and_their_number_is_known(tiny_pair: tuple[ca.networks.GRU, ca.networks.GRU]) -> None:
    settings = SearchConfig(batch_size=2, initial_batch_size=2, max_steps=70, eval_every=2, patience=50)
    found = search(problem_of(tiny_pair, count=8), random_starts((6, 9), 2), settings, np.random.default_rng(0))
    steps = [look.step for look in found.history]
    assert steps[:13] == [0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24]
    assert steps[-8:] == [39, 42, 46, 50, 55, 60, 66, 70]
    assert len(steps) == settings.evaluations
    assert settings.replace(max_steps=10_000).next_evaluation(9_000) == 9_020  # ten times as far apart at most


def test_the_frozen_networks_are_never_run_upstream_in_the_loop(
    zoo_pair: tuple[ca.networks.GRU, ca.networks.GRU], monkeypatch: pytest.MonkeyPatch
) -> None:
    problem = problem_of(zoo_pair, count=32)
    for site in problem.sites:
        for name in ("read", "prefix"):
            monkeypatch.setattr(site, name, lambda *_: pytest.fail("the upstream was run again"))
    search(problem, random_starts((128, 128), 4), SearchConfig(batch_size=8, max_steps=3), np.random.default_rng(0))
    assert all(weight.grad is None for network in zoo_pair for weight in network.parameters())


def test_the_best_look_is_kept_and_a_search_that_settles_stops(
    tiny_pair: tuple[ca.networks.GRU, ca.networks.GRU], monkeypatch: pytest.MonkeyPatch
) -> None:
    from causalign.search import early_stopping as looks

    worst_of = iter([0.1, 0.5, 0.9, 0.3, 0.9, 0.2, 0.1, 0.1, 0.3, 0.1, 0.1])
    monkeypatch.setattr(looks, "worst", lambda correct: next(worst_of))
    monkeypatch.setattr(looks.EarlyStopping, "_falls", lambda _: False)  # the loss of four rows goes up and down
    kept: list[int] = []
    settings = SearchConfig(batch_size=4, max_steps=100, eval_every=1, patience=3, optimizer="adam")

    def listen(update: ProgressUpdate) -> None:
        kept.append(update.step)

    problem = problem_of(tiny_pair, count=20)
    even = {
        d: changed(v, columns=v.columns.replaced(scored=torch.zeros_like(v.determined)))
        for d, v in problem.validation.items()
    }
    found = search(changed(problem, validation=even), random_starts((6, 9), 2), settings, numpy_stream(0, "b"), listen)
    assert found.stopped == "early_stopping"
    assert found.steps == 8  # best at step 2, then three looks that are no better, and three more with larger batches
    again = search(
        problem,
        random_starts((6, 9), 2),
        SearchConfig(batch_size=4, max_steps=2, eval_every=9, optimizer="adam"),
        numpy_stream(0, "b"),
    )
    monkeypatch.undo()
    two_steps = search(problem, random_starts((6, 9), 2), settings.replace(max_steps=2), numpy_stream(0, "b"))
    assert again.steps == two_steps.steps == 2
    torch.testing.assert_close(found.maps[0].frame, _after(problem, 2)[0].frame)


def test_a_search_goes_on_while_its_loss_falls(
    tiny_pair: tuple[ca.networks.GRU, ca.networks.GRU], monkeypatch: pytest.MonkeyPatch
) -> None:
    from causalign.search import early_stopping
    from causalign.search import search as module

    losses = iter([10.0, 9.0, 8.0, 7.9, 7.0, 6.0, 5.9, 5.8, 5.7, 5.6])
    monkeypatch.setattr(module, "_train_step", lambda *_: next(losses))
    monkeypatch.setattr(early_stopping, "worst", lambda correct: 0.1)
    settings = SearchConfig(batch_size=4, initial_batch_size=4, max_steps=100, eval_every=1, patience=3)
    found = search(problem_of(tiny_pair, count=8), random_starts((6, 9), 2), settings, numpy_stream(0, "b"))
    assert found.stopped == "early_stopping"
    assert found.steps == 9  # 6.0 at step 6 is the last fall by 5 % of 10.0


def _after(problem: Problem, steps: int) -> tuple[AlignmentMap, ...]:
    """The maps after so many steps, by a loop of its own."""
    maps, rng = random_starts((6, 9), 2), numpy_stream(0, "b")
    parameters = [p for m in maps for p in m.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=maps[0].learning_rates["adam"])
    average: list[torch.Tensor] = []
    for _ in range(steps):
        now = [m() for m in maps]
        total = torch.zeros(())
        for target in range(2):
            into = [problem.train[Direction(source, target)] for source in range(2)]
            batches = [given.take(torch.from_numpy(rng.integers(len(given), size=1))) for given in into]
            swapped = [
                interchange(batch.target_states, batch.source_states, now[target], now[source])
                for source, batch in enumerate(batches)
            ]
            total = total + behavior_loss(problem.sites[target], batches, swapped)
        optimizer.zero_grad()
        (total / 4).backward()
        optimizer.step()
        before = average or [p.detach().clone() for p in parameters]
        average = [0.9 * old + 0.1 * new.detach() for old, new in zip(before, parameters, strict=True)]
    for parameter, value in zip(parameters, average, strict=True):
        parameter.data = value
    return tuple(m().frozen() for m in maps)


def test_a_search_that_diverges_keeps_the_best_so_far(tiny_pair: tuple[ca.networks.GRU, ca.networks.GRU]) -> None:
    calls: list[int] = []

    class Exploding(Objective):
        def loss(self, site: Readable, batches: Sequence[Batch], swapped: Sequence[torch.Tensor]) -> torch.Tensor:
            calls.append(1)
            return behavior_loss(site, batches, swapped) * (float("nan") if len(calls) > 4 else 1.0)

    problem = changed(problem_of(tiny_pair, count=20), objectives=dict.fromkeys(ALL, Exploding()))
    found = search(
        problem, random_starts((6, 9), 2), SearchConfig(batch_size=4, eval_every=1), np.random.default_rng(0)
    )
    assert (found.stopped, found.steps) == ("diverged", 3)
    assert all(bool(torch.isfinite(a_map.frame).all()) for a_map in found.maps)


def test_class_means_are_means_by_value(tiny_pair: tuple[ca.networks.GRU, ca.networks.GRU]) -> None:
    samples = record(tiny_pair[0].site("hidden"), 300, np.random.default_rng(0))
    (means,) = class_means([samples], [("count",)])
    for count in range(21):
        of_count = samples.sampled[torch.from_numpy(samples.values["count"] == count)].double()
        torch.testing.assert_close(means[count], of_count.mean(0))


@pytest.mark.parametrize("rank", [1, 6, 40])
def test_the_closed_form_undoes_a_rotation_and_a_scale(rank: int) -> None:
    network = ca.networks.build("multi-object", "gru", seed=0, width=48)
    samples = record(network.site("hidden"), 400, np.random.default_rng(0))
    rotation = random_frame(48, 48, torch_stream(3))
    turned = changed(samples, states=2.5 * samples.states @ rotation)
    a, b = generalized_procrustes(class_means([samples, turned], [("phase", "count")] * 2), rank, train_scale=True)
    assert a.scale / b.scale == pytest.approx(2.5, rel=1e-4)
    for a_map in (a, b):
        assert (a_map.frame.mT @ a_map.frame - torch.eye(rank)).abs().max() < 1e-5
    (means,) = class_means([samples], [("phase", "count")])
    there = 2.5 * means.float() @ rotation
    torch.testing.assert_close(a.project(means.float()), b.project(there), atol=1e-4, rtol=1e-3)


def test_networks_without_a_common_value_have_no_closed_form(
    tiny_pair: tuple[ca.networks.GRU, ca.networks.GRU],
) -> None:
    samples = record(tiny_pair[0].site("hidden"), 50, np.random.default_rng(0))
    assert isinstance(samples.trials, Sequences)
    perturb = {name: value + 100 for name, value in samples.trials.values.items()}
    elsewhere = changed(samples, trials=changed(samples.trials, values=perturb))
    with pytest.raises(ca.CausalignError, match="share no value of the variable"):
        class_means([samples, elsewhere], [("count",)] * 2)


def test_states_that_are_all_zero_have_no_closed_form(tiny_pair: tuple[ca.networks.GRU, ca.networks.GRU]) -> None:
    samples = record(tiny_pair[0].site("hidden"), 50, np.random.default_rng(0))
    dead = changed(samples, states=torch.zeros_like(samples.states))
    with pytest.raises(ca.CausalignError, match="all zero on average"):
        generalized_procrustes(class_means([samples, dead], [("count",)] * 2), 2, train_scale=True)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"batch_size": 0}, "SearchConfig: batch_size: Input should be greater than or equal to 1, found '0'"),
        ({"patience": -1}, "patience: Input should be greater than or equal to 1"),
        ({"min_delta": 1.0}, "min_delta: Input should be less than 1, found '1.0'"),
        ({"max_steps": -1}, "max_steps: Input should be greater than or equal to 0"),
        ({"learning_rate": 0.0}, "learning_rate: Input should be greater than 0, found '0.0'"),
    ],
)
def test_bad_settings_are_refused(wrong: dict[str, float], message: str) -> None:
    with pytest.raises(ca.CausalignError, match=message):
        SearchConfig(**wrong)  # type: ignore[arg-type]


def test_a_found_alignment_is_the_same_for_the_same_seed(tiny_pair: tuple[ca.networks.GRU, ca.networks.GRU]) -> None:
    def once() -> SearchResult:
        settings = SearchConfig(batch_size=8, max_steps=4, eval_every=2)
        return search(problem_of(tiny_pair, count=30), random_starts((6, 9), 3), settings, numpy_stream(1, "b"))

    one, two = once(), once()
    assert all(torch.equal(a.frame, b.frame) and a.scale == b.scale for a, b in zip(one.maps, two.maps, strict=True))
    assert one.history == two.history


def test_muon_steps_every_direction_of_a_matrix_alike() -> None:
    """Momentum orthogonalised, by a decomposition of its own; the scale goes by Adam."""
    (trained,) = random_starts((9,), 3)
    assert isinstance(trained, GramSchmidt)
    optimisers = Optimizers([trained], None, None)
    frame = trained.columns.detach().clone()
    slopes = torch.diag(torch.tensor([10.0, 1.0, 0.3])) @ random_frame(9, 3, torch_stream(0, "slopes")).mT
    assert trained.log_scale is not None
    optimisers.step((slopes.mT * trained.columns).sum() + trained.log_scale)
    u, _, v = torch.linalg.svd(slopes.mT, full_matrices=False)
    perturb = (frame - trained.columns.detach()) / (1e-2 * 0.2 * 9**0.5)
    directions = torch.linalg.svdvals(perturb)
    assert directions.min() > 0.6  # Newton-Schulz iterations come near to 1, not to it
    assert directions.max() < 1.3
    assert torch.einsum("wr,wr->", perturb, u @ v) > 0.95 * perturb.norm() * (u @ v).norm()
    assert trained.log_scale.item() == pytest.approx(-1e-2, rel=1e-3)


def test_maps_say_which_optimisers_are_for_them(tiny_pair: tuple[ca.networks.GRU, ca.networks.GRU]) -> None:
    def asked(optimizer: str, map_: str) -> object:
        settings = SearchConfig(optimizer=optimizer, max_steps=1)
        few = {"n_train": 8, "n_validation": 4, "n_test": 4}
        return ca.align(tiny_pair[0].site("hidden"), method="das", rank=2, parametrization=map_, search=settings, **few)  # type: ignore[arg-type]

    for wrong, map_ in (("mu", "gram-schmidt"), ("muon", "expm")):
        with pytest.raises(ca.CausalignError, match=f"unknown optimizer .*'{wrong}'"):
            asked(wrong, map_)
    assert asked("adam", "gram-schmidt")
