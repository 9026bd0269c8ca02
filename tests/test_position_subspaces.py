"""A subspace for each of several positions: a known answer, hooked runs of the plain module, files, and refusals."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import causalign as ca
from causalign.alignment.mib_export import export_mib
from causalign.cli.options import OPTIONS
from causalign.counterfactuals.direction import Direction
from causalign.counterfactuals.interventions import interchange, intervene
from causalign.engine.run import run_interventions
from causalign.files import read_tensors, write_tensors
from causalign.maps import PARAMETRIZATIONS, parametrization
from causalign.maps.base import AlignmentMap, random_frame
from causalign.maps.position_map import PositionMap
from causalign.maps.trainable_position_map import TrainablePositionMap
from causalign.search.optimizers import Optimizers
from naive_swap import plain_logits, state_at
from relay import CONFUSED, POSITIONS, Relay, relay_rows, two_variable_rows
from test_counterfactuals import KINDS, QUICK, all_rows
from test_positions import HOOKED, SWAPS
from test_positions import arrays as arrays_of_three

SEARCH = ca.SearchConfig(max_steps=300, batch_size=64, patience=20)
ROWS = 800


def relay_data(*modules: Relay, rows: dict[str, Any] | None = None, **changes: Any) -> ca.Counterfactuals:
    sites = [ca.Site(module, "hidden", name=f"relay/{index}") for index, module in enumerate(modules)]
    given = relay_rows(ROWS, 0) if rows is None else rows
    return ca.Counterfactuals.from_arrays(sites, **{"split": (0.5, 0.25, 0.25)} | given | changes)


def positional(of: AlignmentMap) -> PositionMap:
    assert isinstance(of, PositionMap)
    return of


def degrees(frame: Tensor, axis: Tensor) -> float:
    """The angle between the only column of a frame and an axis."""
    return math.degrees(math.acos(min(1.0, abs(float(frame[:, 0] @ axis)))))


def frame_of(width: int, rank: int, seed: int) -> Tensor:
    return random_frame(width, rank, torch.Generator().manual_seed(seed))


def random_map(width: int, positions: int = SWAPS, rank: int = 3, seed: int = 0) -> PositionMap:
    """A map with another random frame and another scale at each position."""
    frames = [frame_of(width, rank, seed + position) for position in range(positions)]
    return PositionMap.stacked([AlignmentMap(frame, 1.0 + 0.5 * place) for place, frame in enumerate(frames)])


def naive(module: nn.Module, path: str, tokens: list[int], moves: dict[int, tuple[Tensor, Tensor, Tensor]]) -> Tensor:
    """The logits of one input after h' = h + V_t (z - V_t^T h) at each position, with its own V_t and z = c V_s^T h_s.

    `moves` has the source's state, c V_s and V_t of each position.
    """

    def swap(_: Any, __: Any, out: Any) -> Any:
        changed = (out[0] if isinstance(out, tuple) else out).clone()
        for position, (state, source, target) in moves.items():
            changed[0, position] += target @ (source.mT @ state - target.mT @ changed[0, position])
        return (changed, *out[1:]) if isinstance(out, tuple) else changed

    hook = module.get_submodule(path).register_forward_hook(swap)
    logits = plain_logits(module, tokens)
    hook.remove()
    return logits


@pytest.fixture(scope="module")
def single() -> tuple[Relay, ca.Counterfactuals, ca.Alignment]:
    """A network alone, and the subspaces of its two positions."""
    module = Relay()
    data = relay_data(module)
    return module, data, ca.align(data, method="das", rank=1, subspace_per_position=True, search=SEARCH)


@pytest.fixture(scope="module")
def pair() -> tuple[tuple[Relay, Relay], ca.Counterfactuals, ca.Alignment]:
    """Two networks of another width and scale."""
    modules = Relay(), Relay(16, seed=1, scale=3.0)
    data = relay_data(*modules)
    return modules, data, ca.align(data, rank=1, subspace_per_position=True, search=SEARCH)


def test_the_known_axis_of_each_position_is_found(single: tuple[Relay, ca.Counterfactuals, ca.Alignment]) -> None:
    module, _, found = single
    assert found.worst_iia == 1.0
    assert found.iia["no_swap"].item() < 0.6
    angles = [
        [degrees(each.frame, axis) for axis in module.carrier.axes] for each in positional(found.maps[0]).by_position
    ]
    print(f"degrees to the axes of positions 1 and 2: {angles}")
    assert angles[0][0] < 6
    assert angles[1][1] < 6
    assert min(angles[0][1], angles[1][0]) > 60
    assert found.record.subspaces == 2
    assert found.record.extent == "rank 1 at each of 2 positions"


@pytest.mark.parametrize("rank", [1, 2])
def test_one_subspace_for_both_positions_fails(
    single: tuple[Relay, ca.Counterfactuals, ca.Alignment], rank: int
) -> None:
    _, data, found = single
    with pytest.warns(ca.SearchWarning):
        shared = ca.align(data, method="das", rank=rank, search=SEARCH.replace(max_steps=60))
    assert shared.worst_iia < 0.6 < found.worst_iia


def test_two_networks_share_what_both_carry(pair: tuple[tuple[Relay, Relay], ca.Counterfactuals, ca.Alignment]) -> None:
    modules, _, found = pair
    assert found.worst_iia == 1.0
    for module, each in zip(modules, found.maps, strict=True):
        for axis, of_position in zip(module.carrier.axes, positional(each).by_position, strict=True):
            assert degrees(of_position.frame, axis) < 6
    ratios = positional(found.maps[1]).scale / positional(found.maps[0]).scale
    assert ratios.tolist() == pytest.approx([1 / 3, 1 / 3], rel=0.2)


@pytest.mark.parametrize("kind", HOOKED)
def test_every_row_is_a_hooked_run_with_a_subspace_at_each_position(kind: str) -> None:
    site, module = KINDS[kind].site()
    given, path = arrays_of_three(), KINDS[kind].path
    rows = all_rows(ca.Counterfactuals.from_arrays(site, **given))[Direction(0, 0)]
    target, source = random_map(site.width, seed=1), random_map(site.width, seed=9)
    batch = rows.take(torch.arange(len(rows)))
    run = run_interventions(site, [batch], [intervene(interchange, batch, target, source)])
    logits = site.read_out(run.features)
    for row in range(0, len(rows), 5):
        at = given["target_positions"][row]
        moves = {
            at[place]: (
                state_at(module, path, given["source_inputs"][row], given["source_positions"][row][place]),
                frame_of(site.width, 3, 9 + place),
                frame_of(site.width, 3, 1 + place),
            )
            for place in range(SWAPS)
        }
        expected = naive(module, path, given["target_inputs"][row] + given["labels"][row], moves)
        mine = (run.trial == row).nonzero().squeeze(1)
        torch.testing.assert_close(logits[mine], expected[at[0] : -1], atol=1e-5, rtol=1e-5)


def test_outcomes_and_swaps_of_an_alignment_are_hooked_runs(
    pair: tuple[tuple[Relay, Relay], ca.Counterfactuals, ca.Alignment],
) -> None:
    modules, data, found = pair
    rough = ca.align(data, rank=2, start="random", subspace_per_position=True, search=SEARCH.replace(max_steps=0))
    given, names = relay_rows(ROWS, 0), data.names  # noqa: F841 (in the queries)
    for maps in (rough, found):
        for s, t in ((0, 1), (1, 1)):
            table = maps.rows.query("source == @names[@s] and target == @names[@t]")
            for row, correct in table[["row", "correct"]].to_numpy()[::40]:
                source, target = given["source_inputs"][row], given["target_inputs"][row]
                moves = {}
                for place, position in enumerate(POSITIONS):
                    of_source, of_target = (positional(maps.maps[each]) for each in (s, t))
                    ratio = of_source.scale[place] / of_target.scale[place]
                    state = state_at(modules[s], "hidden", source, position)
                    moves[position] = state, ratio * of_source.frame[place], of_target.frame[place]
                expected = naive(modules[t], "hidden", target, moves)[-1]
                assert bool(correct) == (int(expected.argmax()) == given["labels"][row])
                output = maps.swap(source, target, source=s, target=t, source_position=(1, 2), target_position=(1, 2))
                torch.testing.assert_close(output.logits, expected, atol=1e-4, rtol=1e-4)
    assert rough.worst_iia < 0.8


@pytest.mark.parametrize("start", ["closed-form", "paired"])
def test_the_start_of_each_position_is_that_of_its_states_alone(start: str) -> None:
    modules = Relay(), Relay(16, seed=1, scale=3.0)
    search, few = SEARCH.replace(max_steps=0), relay_rows(120, 0)
    maps = ca.align(relay_data(*modules, rows=few), rank=2, start=start, subspace_per_position=True, search=search).maps
    for place, position in enumerate(POSITIONS):
        alone = relay_data(*modules, rows=few, source_positions=position, target_positions=position)
        with pytest.warns(ca.SearchWarning):  # the swap at one position does not do
            found = ca.align(alone, rank=2, start=start, search=search)
        for each, only in zip(maps, found.maps, strict=True):
            torch.testing.assert_close(each.frame[place], only.frame, atol=1e-5, rtol=0)
            assert float(positional(each).scale[place]) == pytest.approx(float(only.scale), rel=1e-5)


def test_a_random_start_draws_other_subspaces_at_each_position(single: Any) -> None:
    _, data, _ = single
    with pytest.warns(ca.SearchWarning):
        (drawn,) = ca.align(
            data, method="das", rank=2, start="random", subspace_per_position=True, search=SEARCH.replace(max_steps=0)
        ).maps
    assert float((drawn.frame[0] - drawn.frame[1]).abs().max()) > 0.1


@pytest.mark.parametrize(
    "fields",
    [
        {"rank": ca.SmallestRank(0.02)},
        {"rank": ca.BestRank([3, 1], trial_steps=20)},
        {"rank": ca.BoundaryRank(max_rank=3, boundary_steps=40)},
    ],
    ids=["smallest", "best", "boundary"],
)
def test_the_rank_of_all_positions_is_selected(single: Any, fields: dict[str, Any]) -> None:
    module, data, _ = single
    search = SEARCH.replace(max_steps=80, patience=4)
    found = ca.align(data, method="das", subspace_per_position=True, search=search, **fields)
    assert found.worst_iia > 0.97
    assert found.maps[0].frame.shape == (2, 12, found.record.rank)
    if found.record.rank == 1:
        for axis, each in zip(module.carrier.axes, positional(found.maps[0]).by_position, strict=True):
            assert degrees(each.frame, axis) < 15
    assert found.record.rank < 4


@pytest.mark.parametrize("name", PARAMETRIZATIONS)
def test_every_parametrization_trains_the_map_of_each_position(name: str) -> None:
    axes, start = Relay().carrier.axes, random_map(12, positions=2, rank=1)
    trained = TrainablePositionMap(start, lambda each: parametrization(name)(each, True))
    torch.testing.assert_close(trained().frame, start.frame, atol=1e-5, rtol=0)
    torch.testing.assert_close(trained().scale, start.scale)
    optimizers = Optimizers([trained], None, 0.05)
    for _ in range(150):
        current = trained()
        overlap = (current.frame[..., 0] * axes).sum(1).square()
        optimizers.step((1 - overlap).sum() + (current.scale - torch.tensor([2.0, 3.0])).square().sum())
    found = positional(trained.result())
    found.require_map("here")
    assert all(degrees(each.frame, axis) < 5 for each, axis in zip(found.by_position, axes, strict=True))
    assert found.scale.tolist() == pytest.approx([2.0, 3.0], abs=0.1)
    assert not found.scale.requires_grad


@pytest.mark.filterwarnings("ignore::causalign.errors.SearchWarning")  # the search is short
@pytest.mark.parametrize(
    "method", [ca.CLMAS(inaccessible=1), ca.Stitch(), ca.LatentStitch(), ca.Procrustes(), ca.MAS(latent_weight=1.0)]
)
def test_every_method_has_subspaces_of_positions(pair: Any, method: Any) -> None:
    _, data, _ = pair
    search = SEARCH.replace(max_steps=5, eval_every=5)
    found = ca.align(data, method=method, rank=3, subspace_per_position=True, search=search)
    for each in found.maps:
        each.require_map("here")
        assert positional(each).positions == 2
    assert float((found.maps[0].frame[0] - found.maps[0].frame[1]).abs().max()) > 0.1


def test_several_variables_have_blocks_at_each_position() -> None:
    module = Relay()
    data = relay_data(module, rows=two_variable_rows(2 * ROWS, 0))
    ranks = {"equal": 1, "parity": 1}
    found = ca.align(data, method="das", rank=ranks, subspace_per_position=True, search=SEARCH)
    assert found.iia["variable"].tolist() == ["equal", "parity"]
    assert found.worst_iia > 0.97
    (equal,), (parity,) = found.block("equal"), found.block("parity")
    for axis, each in zip(module.carrier.axes, positional(equal).by_position, strict=True):
        assert degrees(each.frame, axis) < 25
    assert degrees(parity.frame[1], module.carrier.others[1]) < 25
    assert found.score(data)["iia"].tolist() == found.iia["iia"].tolist()


def test_controls_and_estimates_have_subspaces_of_positions(single: Any) -> None:
    _, data, _ = single
    few = SEARCH.replace(max_steps=4, batch_size=16)
    found = ca.align(data, method="das", rank=1, subspace_per_position=True, search=few, controls=True)
    worst = found.worst_controls
    assert found.worst_iia == 1.0
    assert max(worst["random"], worst["shuffled"]) < 0.7
    each, shared = (
        ca.estimate(data, method="das", rank=1, search=few, subspace_per_position=several) for several in (True, False)
    )
    assert each.tables == pytest.approx(shared.tables)
    assert each.seconds > 0


def test_a_saved_alignment_is_read_again(single: Any, tmp_path: Path) -> None:
    _, data, found = single
    found.save(tmp_path)
    read = ca.load_alignment(tmp_path)
    assert isinstance(read.maps[0], PositionMap)
    assert torch.equal(read.maps[0].frame, found.maps[0].frame)
    assert torch.equal(read.maps[0].scale, found.maps[0].scale)
    assert read.record == found.record
    assert read.score(data)["iia"].tolist() == [1.0]
    assert "PositionMap(2 positions, width 12, rank 1, scales 1, 1)" in repr(read.maps[0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda tensors: {"maps.0.frame": tensors["maps.0.frame"][:1]}, r"is \[.*1, 12, 1\]"),
        (lambda tensors: {"maps.0.frame": tensors["maps.0.frame"][0]}, r"scale is \[2\], and maps\.0\.frame \[12, 1\]"),
        (lambda tensors: {"maps.0.scale": tensors["maps.0.scale"] * torch.tensor([1, -1])}, "position 1: the scale"),
        (lambda tensors: {"maps.0.frame": tensors["maps.0.frame"] * torch.tensor([1, 2])[:, None, None]}, "position 1"),
    ],
    ids=["fewer positions", "one frame", "a negative scale", "a frame that is not orthonormal"],
)
def test_broken_files_are_named(single: Any, tmp_path: Path, change: Any, message: str) -> None:
    single[2].save(tmp_path)
    tensors, header = read_tensors(tmp_path / "maps.safetensors")
    write_tensors(tmp_path / "maps.safetensors", {**tensors, **change(tensors)}, header)
    with pytest.raises(ca.FileFormatError, match=message):
        ca.load_alignment(tmp_path)


def test_a_record_of_other_subspaces_is_refused(single: Any, tmp_path: Path) -> None:
    single[2].save(tmp_path)
    record = json.loads((tmp_path / "result.json").read_text())
    (tmp_path / "result.json").write_text(json.dumps(record | {"subspaces": 1}))
    with pytest.raises(ca.FileFormatError, match="subspaces"):
        ca.load_alignment(tmp_path)


def test_an_interrupted_search_goes_on_to_the_same_maps(single: Any, tmp_path: Path) -> None:
    _, data, _ = single
    search = ca.SearchConfig(max_steps=12, eval_every=4, batch_size=16)
    fields: dict[str, Any] = {
        "method": "das",
        "rank": 2,
        "start": "random",
        "subspace_per_position": True,
        "search": search,
    }

    def stop(update: ca.ProgressUpdate) -> None:
        if update.stage == "search" and update.step == 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ca.align(data, out=tmp_path, callbacks=[stop], **fields)
    with pytest.warns(ca.SearchWarning):
        resumed, whole = ca.align(data, out=tmp_path, **fields), ca.align(data, **fields)
    assert torch.equal(resumed.maps[0].frame, whole.maps[0].frame)


def test_states_are_projected_and_lifted_at_one_position_or_at_all(pair: Any) -> None:
    _, _, found = pair
    of, states = found.maps[1], np.random.default_rng(0).normal(size=(5, 2, 16)).astype(np.float32)
    frames, scales = of.frame.numpy(), of.scale.numpy()
    expected = np.stack([scales[place] * states[:, place] @ frames[place] for place in (0, 1)], axis=1)
    np.testing.assert_allclose(found.project(1, states), expected, atol=1e-5)
    np.testing.assert_allclose(of.coordinates(torch.tensor(states)) * of.scale[:, None], expected, atol=1e-5)
    back = np.stack([expected[:, place] @ frames[place].T / scales[place] for place in (0, 1)], axis=1)
    np.testing.assert_allclose(found.lift(1, expected), back, atol=1e-5)
    for place in (0, 1):
        np.testing.assert_allclose(found.project(1, states[:, place], position=place), expected[:, place], atol=1e-5)
        np.testing.assert_allclose(found.lift(1, expected[:, place], position=place), back[:, place], atol=1e-5)
        np.testing.assert_allclose(of.position(place - 2).project(states[:, place]), expected[:, place], atol=1e-5)
    with pytest.raises(
        ca.InvalidArgument, match=r"a subspace for each of 2 positions: states must be \[\.\.\., 2, 16\]"
    ):
        found.project(1, states[:, 0])
    with pytest.raises(ca.InvalidArgument, match=r"position is the index of one of the 2 positions .*; found 2"):
        found.project(1, states[:, 0], position=2)


def test_a_position_is_exported(single: Any, tmp_path: Path) -> None:
    pyvene = pytest.importorskip("pyvene")
    _, _, found = single
    for place in (0, 1):
        made = found.to_pyvene(0, position=place)
        assert isinstance(made, pyvene.LowRankRotatedSpaceIntervention)
        torch.testing.assert_close(made.rotate_layer.weight, found.maps[0].frame[place])
    with pytest.raises(ca.InvalidArgument, match="relay/0@hidden has a subspace for each of 2 positions: name one"):
        found.to_pyvene(0)
    with pytest.raises(ca.InvalidArgument, match="name one, position=0 to 1"):
        found.export_mib(tmp_path, "last_token")
    featurizer, _, _ = export_mib(found.maps[0].position(1), tmp_path, "ResidualStream(Layer-0,Token-c)")
    saved = torch.load(featurizer, weights_only=True)["model_info"]["additional_config"]["rotation_matrix"]
    torch.testing.assert_close(saved, found.maps[0].frame[1])


def test_what_has_no_subspace_for_each_position_is_refused(single: Any) -> None:
    module, data, found = single
    one = relay_data(module, source_positions=2, target_positions=2)
    refused: tuple[tuple[ca.Counterfactuals, dict[str, Any], str], ...] = (
        (one, {"method": "das"}, r"the rows have one position each: leave it out, or give several"),
        (data, {"method": "das-stepwise"}, "das-stepwise swaps all positions up to one in one subspace"),
        (data, {"method": "dbm"}, "dbm trains no map .*: leave subspace_per_position out"),
    )
    for given, fields, message in refused:
        with pytest.raises(ca.InvalidArgument, match=message):
            ca.align(given, subspace_per_position=True, search=QUICK, **fields)
    three = relay_data(module, source_positions=(0, 1, 2), target_positions=(0, 1, 2))
    for given, count in ((one, 1), (three, 3)):
        with pytest.raises(
            ca.InvalidArgument, match=f"for each of 2 positions, and the rows have {count}: give as many"
        ):
            found.score(given)
    source = target = [0, 0, 1, 2]
    with pytest.raises(ca.InvalidArgument, match="the rows have 1: give as many"):
        found.swap(source, target)
    with pytest.raises(ca.InvalidArgument, match="found 2 in the source and 1 in the target"):
        found.swap(source, target, source_position=(1, 2))
    with pytest.warns(ca.SearchWarning):
        shared = ca.align(data, method="das", rank=1, search=QUICK)
    with pytest.raises(ca.InvalidArgument, match="one subspace for all positions: leave position out"):
        shared.to_pyvene(0, position=0)
    batch = all_rows(three)[Direction(0, 0)].take(torch.arange(2))
    with pytest.raises(
        ca.InvalidArgument, match="for 2 positions and the source's for 2, and the rows have 3 positions"
    ):
        intervene(interchange, batch, found.maps[0], found.maps[0])


def test_one_subspace_for_all_swaps_several_positions_at_once() -> None:
    module = Relay()
    data = relay_data(module)
    with pytest.warns(ca.SearchWarning):
        shared = ca.align(data, method="das", rank=2, search=QUICK)
    source, target = [0, 0, 1, 2], [3, 1, 4, 5]
    frame = shared.maps[0].frame
    moves = {at: (state_at(module, "hidden", source, at), frame, frame) for at in POSITIONS}
    output = shared.swap(source, target, source_position=POSITIONS, target_position=POSITIONS)
    torch.testing.assert_close(output.logits, naive(module, "hidden", target, moves)[-1], atol=1e-5, rtol=1e-5)


def test_the_network_by_hand_is_confused_by_half_a_swap() -> None:
    module = Relay()
    source, target = [0, 0, 1, 2], [3, 1, 4, 5]
    frame = module.carrier.axes[0][:, None]
    moves = {1: (state_at(module, "hidden", source, 1), frame, frame)}
    assert int(naive(module, "hidden", target, moves)[-1].argmax()) == CONFUSED


def test_the_command_line_has_the_flag() -> None:
    assert OPTIONS["subspace_per_position"].flag
