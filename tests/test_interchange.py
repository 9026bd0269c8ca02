import dataclasses
import sys

import numpy as np
import pytest
import torch
from beartype.roar import BeartypeCallHintParamViolation
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import causalign as ca
from causalign.counterfactuals.direction import Direction
from causalign.counterfactuals.interventions import Swap, interchange, keep, replace
from causalign.counterfactuals.rows import CounterfactualRows
from causalign.engine.chunked_readout import next_token_loss, predictions, rows_at_once
from causalign.engine.run import run_interventions
from causalign.maps.base import AlignmentMap, complete, random_frame
from causalign.random_streams import numpy_stream, torch_stream
from causalign.scoring.iia import row_outcomes
from causalign.search.initialisation import generalized_procrustes
from causalign.sites.recurrent.sites import HiddenState
from causalign.tasks.base import Sequences
from causalign.tasks.counting import MultiObject
from causalign.tasks.variable import Variable
from drawing import class_means, draw_rows, read_activations, record
from naive_interchange import greedy_gru, interchange_rotated
from naive_tasks import Counting as NaiveCounting

FULL, COUNT, PHASE = (Variable.of(name) for name in ("full", "count", "phase"))
SELF_AND_ACROSS = [Direction(s, t) for s in range(2) for t in range(2)]


def random_map(width: int, rank: int, seed: int, scale: float = 1.0) -> AlignmentMap:
    return AlignmentMap(random_frame(width, rank, torch_stream(seed, width, rank)), scale)


def states(trials: int, width: int, seed: int) -> Tensor:
    return torch.randn(trials, width, generator=torch_stream(seed, "states", width))


@given(
    widths=st.tuples(st.integers(1, 20), st.integers(1, 20)),
    share=st.floats(0, 1),
    scales=st.tuples(st.floats(0.2, 5), st.floats(0.2, 5)),
    seed=st.integers(0, 1000),
)
def test_equation_13_equals_equation_4(
    widths: tuple[int, int], share: float, scales: tuple[float, float], seed: int
) -> None:
    rank = 1 + round(share * (min(widths) - 1))
    target, source = (random_map(w, rank, seed + i, a) for i, (w, a) in enumerate(zip(widths, scales, strict=True)))
    h_t, h_s = states(5, widths[0], seed), states(5, widths[1], seed + 7)
    whole_t, whole_s = (m.scale * complete(m.frame) for m in (target, source))
    rotated = interchange_rotated(h_t, h_s, whole_t, whole_s, rank)
    difference = (interchange(h_t, h_s, target, source) - rotated).abs().max()
    assert difference < 1e-5 * max(1.0, float(rotated.abs().max()))


@pytest.mark.parametrize("swap", [interchange, replace])
def test_a_mask_swaps_a_block_of_the_subspace_in_each_row(swap: Swap) -> None:
    target, source = random_map(9, 5, 0, 2.0), random_map(7, 5, 1, 0.5)
    h_t, h_s = states(3, 9, 0), states(3, 7, 1)
    blocks = [[0, 1], [2, 3, 4], [1, 4]]
    mask = torch.zeros(3, 5)
    for row, block in enumerate(blocks):
        mask[row, block] = 1
    masked = dataclasses.replace(target, mask=mask)
    swapped = swap(h_t, h_s, masked, source)
    for row, block in enumerate(blocks):
        of_target, of_source = (AlignmentMap(each.frame[:, block], each.scale) for each in (target, source))
        torch.testing.assert_close(swapped[row], swap(h_t[row][None], h_s[row][None], of_target, of_source)[0])
    steps = [each[:, None].expand(-1, 4, -1) for each in (h_t, h_s)]
    at_every_step = swap(steps[0], steps[1], masked, source)
    torch.testing.assert_close(at_every_step, swapped[:, None].expand_as(at_every_step))


@given(width=st.integers(1, 20), share=st.floats(0, 1), scale=st.floats(0.2, 5), seed=st.integers(0, 1000))
def test_an_interchange_of_a_state_with_itself_changes_nothing(
    width: int, share: float, scale: float, seed: int
) -> None:
    a_map = random_map(width, 1 + round(share * (width - 1)), seed, scale)
    h = states(4, width, seed)
    torch.testing.assert_close(interchange(h, h, a_map, a_map), h, atol=1e-5, rtol=1e-5)


def test_an_interchange_moves_the_subspace_and_nothing_else() -> None:
    target, source = random_map(12, 4, 0, 2.0), random_map(9, 4, 1, 0.5)
    h_t, h_s = states(6, 12, 0), states(6, 9, 1)
    swapped = interchange(h_t, h_s, target, source)
    torch.testing.assert_close(target.project(swapped), source.project(h_s), atol=1e-5, rtol=1e-4)
    rest = complete(target.frame)[4:].mT
    torch.testing.assert_close(swapped @ rest, h_t @ rest, atol=1e-5, rtol=1e-4)


@given(width=st.integers(1, 16), seed=st.integers(0, 1000))
def test_replace_at_full_rank_is_stitching_by_an_orthogonal_matrix(width: int, seed: int) -> None:
    target, source = random_map(width, width, seed), random_map(width, width, seed + 1)
    stitch = replace(torch.zeros(width, width), torch.eye(width), target, source).mT  # its columns are the images
    torch.testing.assert_close(stitch @ stitch.mT, torch.eye(width), atol=1e-5, rtol=0)
    h_t, h_s = states(3, width, seed), states(3, width, seed + 1)
    torch.testing.assert_close(replace(h_t, h_s, target, source), h_s @ stitch.mT, atol=1e-5, rtol=1e-4)
    # At full rank the target keeps nothing, so that the interchange is the stitch as well (section 3.3).
    torch.testing.assert_close(interchange(h_t, h_s, target, source), h_s @ stitch.mT, atol=1e-5, rtol=1e-4)


def test_replace_at_low_rank_has_that_rank() -> None:
    target, source = random_map(10, 3, 0), random_map(8, 3, 1)
    images = replace(torch.zeros(8, 10), torch.eye(8), target, source)
    assert torch.linalg.matrix_rank(images) == 3


class Transparent(HiddenState):
    """A site whose states are the tokens read so far, so that a test can see where a state was taken."""

    def __init__(self) -> None:
        network = ca.networks.build("multi-object", "gru", seed=0, width=43)
        assert isinstance(network, ca.networks.GRU)
        super().__init__(network, MultiObject())

    def read(self, tokens: Tensor) -> Tensor:
        time = tokens.shape[1]
        seen = torch.arange(time)[:, None] >= torch.arange(time)
        return torch.nn.functional.pad(tokens[:, None, :] * seen, (0, 43 - time)).float()


def prefix(state: Tensor) -> list[str]:
    return MultiObject().vocabulary.decode(state.long().numpy()).split()


@given(seed=st.integers(0, 10_000), variable=st.sampled_from(["full", "count", "phase"]))
@settings(max_examples=25)
def test_every_intervention_obeys_a_naive_simulator(seed: int, variable: str) -> None:
    sites, naive = [Transparent(), Transparent()], NaiveCounting("multi-object")
    recorded = read_activations(sites, 30, seed, "test")
    drawn = draw_rows(sites, [Variable.of(variable)] * 2, SELF_AND_ACROSS, recorded, 30, seed, "test")
    assert list(drawn) == SELF_AND_ACROSS
    for given_ in drawn.values():
        assert len(given_) == 30
        for row in range(30):
            source, target = prefix(given_.source_states[row]), prefix(given_.target_states[row])
            for end in (source[-1], target[-1]):
                assert end in {"D0", "D1", "D2", "R"}  # never after B, T or E
            expected = naive.counterfactual(naive.variables(target)[-1], naive.variables(source)[-1], variable)
            length = int(given_.lengths[row])
            rest = MultiObject().vocabulary.decode(given_.tokens[row, :length].numpy()).split()
            assert naive.obeys(expected, rest, given_.determined[row, :length].tolist()) is None
            assert not given_.determined[row, length:].any()


def test_a_value_the_task_cannot_be_in_is_never_drawn() -> None:
    sites = [Transparent(), Transparent()]
    drawn = draw_rows(sites, [COUNT, PHASE], [Direction(0, 1)], read_activations(sites, 300, 0, "x"), 300, 0, "x")
    assert set(drawn[Direction(0, 1)].values["phase"].tolist()) == {0, 1}


def test_all_phases_and_boundary_counts_are_drawn() -> None:
    site = Transparent()
    samples = record(site, 2000, np.random.default_rng(0))
    seen = set(zip(samples.values["phase"], samples.values["count"], strict=True))
    assert seen == {(0, count) for count in range(1, 21)} | {(1, count) for count in range(20)}


def test_positions_are_uniform_within_trials_and_trials_uniform() -> None:
    samples = record(Transparent(), 200, np.random.default_rng(0))
    drawn = samples.sample(60_000, np.random.default_rng(1))
    per_trial = np.bincount(samples.trial[drawn], minlength=200)
    assert abs(per_trial - 300).max() < 6 * np.sqrt(300)
    for trial in (0, 1, 2):
        positions = np.unique(samples.position[samples.trial == trial])
        found = np.unique(samples.position[drawn][samples.trial[drawn] == trial])
        assert np.array_equal(positions, found)


def test_splits_and_directions_have_streams_of_their_own() -> None:
    sites = [Transparent(), Transparent()]

    def draw(split: str, directions: list[Direction]) -> dict[Direction, CounterfactualRows]:
        recorded = read_activations(sites, 20, 0, split)
        return draw_rows(sites, [FULL] * 2, directions, recorded, 20, 0, split)

    all_four, one = draw("train", SELF_AND_ACROSS), draw("train", [Direction(1, 0)])
    assert torch.equal(all_four[Direction(1, 0)].source_states, one[Direction(1, 0)].source_states)
    assert torch.equal(all_four[Direction(1, 0)].tokens, one[Direction(1, 0)].tokens)
    assert not torch.equal(
        draw("test", SELF_AND_ACROSS)[Direction(0, 0)].target_states, all_four[Direction(0, 0)].target_states
    )


class Capped(MultiObject):
    """Multi-Object in which a count above 10 means nothing once it is set from outside."""

    name = "capped"

    def meaningful(self, values: dict[str, np.ndarray]) -> np.ndarray:
        return values["count"] <= 10


def test_values_that_mean_nothing_in_the_target_are_never_drawn() -> None:
    network = ca.networks.build("multi-object", "gru", seed=0, width=4)
    sites = [network.site("hidden"), network.site("hidden", task=Capped())]
    directions = [Direction(0, 1), Direction(1, 0)]
    drawn = draw_rows(sites, [COUNT] * 2, directions, read_activations(sites, 500, 0, "x"), 500, 0, "x")
    into_capped, into_plain = (drawn[direction] for direction in directions)
    assert len(into_capped) == 500
    assert into_capped.values["count"].max() == 10
    assert into_plain.values["count"].max() > 10


def test_a_source_that_never_fits_is_refused() -> None:
    class Closed(MultiObject):
        name = "closed"

        def meaningful(self, values: dict[str, np.ndarray]) -> np.ndarray:
            return values["count"] > 99

    network = ca.networks.build("multi-object", "gru", seed=0, width=4)
    sites = [network.site("hidden"), network.site("hidden", task=Closed())]
    directions = [Direction(0, 1)]
    with pytest.raises(ca.CausalignError, match=r"no values of 'count' in .* have a meaning as 'count'"):
        draw_rows(sites, [COUNT] * 2, directions, read_activations(sites, 20, 0, "x"), 20, 0, "x")


@pytest.mark.parametrize("at", ["hidden", "embedding"])
def test_directions_run_as_one_batch_are_what_they_are_alone(
    zoo_pair: tuple[ca.networks.GRU, ca.networks.GRU], at: str
) -> None:
    sites = [network.site(at) for network in zoo_pair]
    recorded = read_activations(sites, 64, 0, "x")
    drawn = draw_rows(sites, [FULL] * 2, SELF_AND_ACROSS, recorded, 64, 0, "x")
    into = [drawn[direction].take(torch.arange(64)) for direction in (Direction(0, 1), Direction(1, 1))]
    swapped = [batch.target_states + 0.01 for batch in into]
    together = run_interventions(sites[1], into, swapped)
    for half, (batch, state) in enumerate(zip(into, swapped, strict=True)):
        alone = run_interventions(sites[1], [batch], [state])
        rows = range(64 * half, 64 * (half + 1))
        for row in rows:
            torch.testing.assert_close(
                together.features[together.trial == row],
                alone.features[alone.trial == row - 64 * half],
                atol=1e-5,
                rtol=1e-5,
            )
        assert torch.equal(together.correct()[64 * half : 64 * (half + 1)], alone.correct())


def test_teacher_forcing_scores_each_trial_as_real_generation_does(
    zoo_pair: tuple[ca.networks.GRU, ca.networks.GRU],
) -> None:
    sites = [network.site("hidden") for network in zoo_pair]
    recorded = read_activations(sites, 200, 1, "x")
    drawn = draw_rows(sites, [FULL] * 2, SELF_AND_ACROSS, recorded, 200, 1, "x")
    means = class_means([recorded[0], recorded[1]], [("phase", "count")] * 2)
    maps = generalized_procrustes(means, rank=8, train_scale=True)  # good enough to be right at times
    forced = row_outcomes(sites, maps, interchange, drawn)
    for (source, target), given_ in drawn.items():
        network = zoo_pair[target]
        swapped = interchange(given_.target_states, given_.source_states, maps[target], maps[source])
        generated = []
        for row in range(len(given_)):
            truth = given_.tokens[row, : given_.lengths[row]].tolist()
            environment = [
                None if determined else token for token, determined in zip(truth, given_.determined[row], strict=False)
            ]
            written = greedy_gru(
                network.embedding, network.cell, network.readout, swapped[row], environment, end_id=2, limit=len(truth)
            )
            generated.append(written == truth)
        assert forced[Direction(source, target)].tolist() == generated
        assert 0 < sum(generated) < 200


def test_keeping_the_target_s_state_scores_only_what_fits_by_chance(
    zoo_pair: tuple[ca.networks.GRU, ca.networks.GRU],
) -> None:
    sites = [network.site("hidden") for network in zoo_pair]
    recorded = read_activations(sites, 1000, 0, "x")
    drawn = draw_rows(sites, [FULL] * 2, SELF_AND_ACROSS, recorded, 1000, 0, "x")
    nothing = [random_map(128, 1, i) for i in range(2)]
    for direction, correct in row_outcomes(sites, nothing, keep, drawn).items():
        here = recorded[direction.target]
        row_of = {state.numpy().tobytes(): row for row, state in enumerate(here.sampled)}
        rows = [row_of[state.numpy().tobytes()] for state in drawn[direction].target_states]
        fits = torch.ones(1000, dtype=torch.bool)
        for name, expected in drawn[direction].values.items():
            fits &= torch.from_numpy(here.values[name][rows]) == expected
        # Unswapped, a perfect network goes on from its own state, which is right where that is the counterfactual one.
        assert correct[fits].all()
        assert correct[~fits].double().mean() < 0.03
        assert 10 < fits.sum() < 150


def test_recorded_states_are_those_at_their_positions(tiny_pair: tuple[ca.networks.GRU, ca.networks.GRU]) -> None:
    site = tiny_pair[0].site("hidden")
    samples = record(site, 1500, numpy_stream(0, "x"))  # more than one chunk
    trials = samples.trials
    assert isinstance(trials, Sequences)
    read = site.read(site.encode(trials.tokens))
    expected = read[torch.from_numpy(samples.trial), torch.from_numpy(samples.position)]
    torch.testing.assert_close(samples.sampled, expected)


def test_logits_that_are_held_at_once_are_bounded_whatever_the_vocabulary() -> None:
    rows = {known: rows_at_once(torch.empty(0), known) for known in (9, 50_000, 260_000, 10**9)}
    assert rows[9] == 1024
    assert rows[10**9] == 16
    assert all(rows[known] * known * 4 <= 2**26 for known in (50_000, 260_000))
    assert 1024 > rows[50_000] > rows[260_000] > 16


@pytest.mark.parametrize("rows", [1, 7, 100])
def test_predictions_read_out_in_parts_are_those_of_the_whole(monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
    monkeypatch.setattr(sys.modules["causalign.engine.chunked_readout"], "rows_at_once", lambda *_: rows)
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(20, 6, generator=generator, dtype=torch.float64)
    weight = torch.randn(6, 9, generator=generator, dtype=torch.float64)
    tokens = torch.randint(9, (20,), generator=generator)

    def read_out(part: torch.Tensor) -> torch.Tensor:
        return torch.tanh(part) @ weight

    at_once, in_parts = features.clone().requires_grad_(), features.clone().requires_grad_()
    whole = torch.nn.functional.cross_entropy(read_out(at_once), tokens, reduction="sum")
    (3 * whole).backward()
    loss = next_token_loss(read_out, in_parts, tokens, 9)
    (3 * loss).backward()
    torch.testing.assert_close(loss, whole.detach(), check_dtype=False)  # losses are summed in float32
    torch.testing.assert_close(in_parts.grad, at_once.grad, atol=1e-5, rtol=1e-5)
    assert predictions(read_out, features, 9).equal(read_out(features).argmax(-1))


def test_the_tests_check_shapes() -> None:
    a_map = AlignmentMap(torch.eye(3), 1.0)
    with pytest.raises(BeartypeCallHintParamViolation, match="existing value"):
        interchange(torch.ones(2, 3), torch.ones(4, 3), a_map, a_map)
