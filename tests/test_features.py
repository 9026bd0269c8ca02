"""The learned rank and the learned masks, on modules of which it is known where they keep what."""

import json
from collections.abc import Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

import causalign as ca
from causalign.alignment.config import AlignmentConfig
from causalign.alignment.spec import override
from causalign.maps.base import AlignmentMap, random_frame
from causalign.maps.boundary_gate import BoundaryGate
from causalign.maps.constant_map import ConstantMap
from causalign.maps.feature_gate import FeatureGate
from causalign.maps.feature_map import FeatureMap
from causalign.maps.gate import Gate
from causalign.maps.gram_schmidt import GramSchmidt
from causalign.random_streams import torch_stream
from causalign.search.optimizers import Optimizers
from causalign.search.rank_notation import rank_selection_of

WIDTH, TOKENS = 8, 16
CARRIES, KEEPS = (1, 4), (2, 6)  # axes of the variable a, and of the rest b
SEARCH = ca.SearchConfig(max_steps=120, batch_size=128)


class Bits(nn.Module):
    """Repeats its last token 4 b + a, whose bits are coordinates of its state along known axes; the rest is noise.

    The axes are the columns of `axes`, of the length `sizes`.
    """

    def __init__(self, axes: Tensor, sizes: Sequence[float]) -> None:
        super().__init__()
        tokens = torch.arange(TOKENS)
        signs = torch.stack([(tokens >> bit & 1) * 2.0 - 1 for bit in range(4)], dim=1)
        coordinates = 0.1 * torch.randn(TOKENS, WIDTH, generator=torch_stream(3))
        coordinates[:, [*CARRIES, *KEEPS]] = signs * torch.tensor(sizes)
        self.embedding = nn.Embedding.from_pretrained(coordinates @ axes.mT)
        self.place = nn.Identity()
        read = torch.zeros(TOKENS, WIDTH)
        read[:, [*CARRIES, *KEEPS]] = 5 * signs / torch.tensor(sizes)
        self.head = nn.Linear(len(axes), TOKENS, bias=False)
        self.head.weight = nn.Parameter(read @ axes.mT)

    def forward(self, ids: Tensor) -> Tensor:
        logits: Tensor = self.head(self.place(self.embedding(ids)))
        return logits


def bits(axes: Tensor | None = None, sizes: Sequence[float] = (1.0, 1.0, 1.0, 1.0)) -> Bits:
    return Bits(torch.eye(WIDTH) if axes is None else axes, sizes).eval()


def turned(seed: int, width: int = WIDTH) -> Tensor:
    return random_frame(width, WIDTH, torch_stream(seed, "axes"))


PAIRS = np.array([(source, target) for source in range(TOKENS) for target in range(TOKENS)] * 4)


def data_of(*modules: Bits) -> ca.Counterfactuals:
    """All pairs of tokens, after the same first token: a is the source's, and b the target's."""
    source, target = np.random.default_rng(0).permutation(PAIRS).T
    inputs: dict[str, Any] = {
        name: np.stack([np.arange(len(PAIRS)) // 256, ids], axis=1)
        for name, ids in (("source_inputs", source), ("target_inputs", target))
    }
    split = ["train"] * 512 + ["validation"] * 256 + ["test"] * 256
    sites = [ca.Site(module, "place", name=f"bits {index}") for index, module in enumerate(modules)]
    return ca.Counterfactuals.from_arrays(sites, **inputs, labels=source % 4 + target // 4 * 4, split=split)


def numbers(found: ca.Alignment) -> set[int]:
    (a_map,) = found.maps
    assert isinstance(a_map, FeatureMap)
    return set(a_map.features.tolist())


def both_signs(axes: Tensor, bias: float = 0.0) -> ca.Features:
    """Features 0 to 7 are the positive parts of the coordinates along the axes, and 8 to 15 the negative ones."""
    encoder = torch.cat([axes, -axes], dim=1)
    return ca.Features(encoder, encoder.mT.contiguous(), torch.full((2 * WIDTH,), bias))


def test_the_units_that_carry_the_variable_are_swapped_and_no_others() -> None:
    found = ca.align(data_of(bits()), method="dbm", search=SEARCH)
    assert numbers(found) == set(CARRIES)
    assert torch.equal(found.maps[0].frame, torch.eye(WIDTH)[:, list(CARRIES)])
    assert found.worst_iia == 1
    assert found.iia["no_swap"][0] == pytest.approx(0.25, abs=0.1)
    assert found.record.extent == "2 of 8 units"
    assert (found.record.rank, found.record.stopped, found.record.steps) == (2, "annealed", 120)
    assert found.record.best == found.record.history[-1]


def test_the_principal_components_that_carry_it_are_swapped() -> None:
    axes, sizes = turned(0), (3.0, 1.0, 4.0, 2.0)
    found = ca.align(data_of(bits(axes, sizes)), method="dbm-pca", search=SEARCH)
    assert numbers(found) == {1, 3}  # of the four, by size: b, a, b, a
    overlap = (found.maps[0].frame.mT @ axes[:, list(CARRIES)]).abs()
    assert overlap.diagonal().min() > 0.99
    assert found.worst_iia == 1


def test_the_features_of_an_autoencoder_that_carry_it_are_swapped() -> None:
    axes = turned(1)
    found = ca.align(data_of(bits(axes)), method=ca.DBM(both_signs(axes)), search=SEARCH)
    assert numbers(found) == {1, 4, 9, 12}
    assert found.worst_iia == 1
    assert found.record.extent == "4 of 16 features"


def test_the_boundary_comes_to_rest_at_the_two_dimensions_that_carry_it() -> None:
    axes = turned(2)
    found = ca.align(data_of(bits(axes)), method="das", rank="boundary", search=SEARCH)
    assert found.record.rank == 2
    assert found.worst_iia == 1
    overlap = torch.linalg.svdvals(found.maps[0].frame.mT @ axes[:, list(CARRIES)])
    assert overlap.min() > 0.9
    learned, settled = found.record.ranks
    assert (learned.rank, learned.steps, learned.stopped) == (2, 60, "annealed")
    assert settled.rank == 2
    assert found.record.steps == 60 + settled.steps
    assert found.history["step"].min() == 60


def test_networks_of_different_widths_share_one_boundary() -> None:
    modules = [bits(turned(3)), bits(turned(4, 11))]
    found = ca.align(data_of(*modules), rank=ca.BoundaryRank(max_rank=6, boundary_steps=100), search=SEARCH)
    assert [a_map.frame.shape for a_map in found.maps] == [(8, 2), (11, 2)]
    assert found.worst_iia > 0.99


@pytest.mark.parametrize("shares", [(1.0, 1.0, 1.0, 1.0), (0.9, 0.2, 0.0, 0.5)])
def test_a_masked_swap_of_features_is_that_of_a_hooked_run_of_the_plain_module(shares: tuple[float, ...]) -> None:
    axes = turned(1)
    module, features = bits(axes), both_signs(axes, bias=-0.3)
    found = ca.align(data_of(module), method=ca.DBM(features), search=SEARCH)
    assert numbers(found) == {1, 4, 9, 12}
    masked = replace(found, maps=(replace(found.maps[0], mask=torch.tensor(shares)),))
    for source, target in ((5, 10), (3, 0), (8, 6)):
        read = torch.zeros(2 * WIDTH)
        for index, share in zip((1, 4, 9, 12), shares, strict=True):
            read[index] = share
        states = module.embedding.weight[[source, target]].double()
        from_source, from_target = ((h @ features.encoder.double() - 0.3).clamp_min(0) for h in states)
        state = states[1] + (read.double() * (from_source - from_target)) @ features.decoder.double()
        hook = module.place.register_forward_hook(lambda _, __, out, state=state: out + (state.float() - out))
        expected = module(torch.tensor([[target]]))[0, -1]
        hook.remove()
        swap = masked.swap([1, source], [2, target])
        torch.testing.assert_close(swap.logits, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("method", ["dbm", "dbm-pca"])
def test_the_outcome_of_each_row_is_that_of_a_hooked_run(method: str) -> None:
    module = bits(turned(5), (3.0, 1.0, 4.0, 2.0))
    data = data_of(module)
    found = ca.align(data, method=method, search=SEARCH.replace(max_steps=20))
    frame = found.maps[0].frame
    source, target = np.random.default_rng(0).permutation(PAIRS).T
    for row in found.rows.iloc[::16].itertuples():
        s, t = int(source[row.row]), int(target[row.row])
        h_s, h_t = module.embedding.weight[s], module.embedding.weight[t]
        state = h_t + frame @ (frame.mT @ (h_s - h_t))
        hook = module.place.register_forward_hook(lambda _, __, out, state=state: state.expand_as(out))
        predicted = int(module(torch.tensor([[t]]))[0, -1].argmax())
        hook.remove()
        assert row.correct == (predicted == s % 4 + t // 4 * 4)


def test_a_boundary_gate_is_its_equation() -> None:
    gate = BoundaryGate(6, (2.0, 0.1), weight=3.0)
    for position in (-9.0, -0.4, 0.0, 0.7, 9.0):
        gate.position.data.fill_(position)
        for progress, temperature in ((0.0, 2.0), (0.5, np.sqrt(0.2)), (1.0, 0.1)):
            gate.anneal(progress)
            b = 6 / (1 + np.exp(-position))
            expected = 1 / (1 + np.exp(-(b - np.arange(6) - 0.5) / temperature))
            np.testing.assert_allclose(gate().detach().numpy(), expected, rtol=1e-4, atol=1e-6)
        assert int(gate.kept().sum()) == max(1, round(b))
        assert gate.kept().sort(descending=True).values.equal(gate.kept())
        assert float(gate.penalty().detach()) == pytest.approx(3 * b / 6, rel=1e-5)


def test_a_feature_gate_keeps_what_is_above_one_half_and_at_least_one() -> None:
    gate = FeatureGate(3, (1.0, 0.01), weight=2.0)
    gate.logits.data = torch.tensor([0.5, -1.0, 2.0])
    shares = 1 / (1 + np.exp([-0.5, 1.0, -2.0]))
    np.testing.assert_allclose(gate().detach().numpy(), shares, rtol=1e-5)
    assert float(gate.penalty().detach()) == pytest.approx(2 * shares.mean(), rel=1e-5)
    assert gate.kept().tolist() == [True, False, True]
    gate.logits.data = torch.tensor([-0.5, -0.1, -2.0])
    assert gate.kept().tolist() == [False, True, False]


def test_a_gate_that_maps_share_takes_one_step_at_its_own_rate() -> None:
    gate = BoundaryGate(2, (1.0, 0.1), weight=1.0)
    maps = [GramSchmidt(AlignmentMap(random_frame(5, 2, torch_stream(i)), 1.0), train_scale=True) for i in range(2)]
    for each in maps:
        each.gate = gate
    before = [each.columns.detach().clone() for each in maps]
    current = [each() for each in maps]
    Optimizers(maps, None, None).step(
        torch.stack([(each.masked(torch.ones(3, 2)) ** 2).sum() for each in current]).sum()
    )
    assert float(gate.position.detach()) == pytest.approx(-gate.learning_rate, rel=1e-3)  # Adam's first step
    assert all(torch.equal(each.columns, columns) for each, columns in zip(maps, before, strict=True))


def test_a_constant_map_trains_its_gate_alone() -> None:
    gate: Gate = FeatureGate(4, (1.0, 0.1), weight=0.0)
    start = FeatureMap(torch.eye(4), 1.0, features=torch.arange(4))
    trained = ConstantMap(start)
    assert list(trained.parameters()) == []
    trained.gate = gate
    assert [each.shape for each in trained.parameters()] == [(4,)]
    gate.get_parameter("logits").data = torch.tensor([1.0, -1.0, 1.0, -1.0])
    ended = trained.result()
    assert isinstance(ended, FeatureMap)
    assert (ended.mask, ended.features.tolist()) == (None, [0, 2])


@pytest.mark.parametrize("kind", ["units", "pca", "features"])
def test_a_map_of_features_is_saved_and_loaded(kind: str, tmp_path: Path) -> None:
    axes = turned(1)
    features: Any = both_signs(axes, bias=-0.2) if kind == "features" else kind
    data = data_of(bits(axes))
    found = ca.align(data, method=ca.DBM(features), search=SEARCH.replace(max_steps=40))
    loaded = ca.load_alignment(found.save(tmp_path / "a"))
    assert numbers(loaded) == numbers(found)
    assert loaded.record.extent == found.record.extent
    assert repr(loaded.maps[0]) == repr(found.maps[0])
    states = torch.randn(5, WIDTH, generator=torch_stream(0))
    torch.testing.assert_close(loaded.project(0, states), found.project(0, states), atol=0, rtol=0)
    assert loaded.score(data)["iia"][0] == found.worst_iia
    again = loaded.save(tmp_path / "c")
    assert (again / "maps.safetensors").read_bytes() == (tmp_path / "a" / "maps.safetensors").read_bytes()
    if kind == "features":
        with pytest.raises(ca.InvalidArgument, match="no weights of the features [0-9a-f]{16} that are not swapped"):
            ca.align(data, loaded.record.config)
        with pytest.raises(ca.InvalidArgument, match="the features of an encoder are no subspace"):
            found.to_pyvene(0)


def test_features_project_and_lift_as_their_autoencoder_does() -> None:
    axes = turned(1)
    whole = both_signs(axes).feature_map(WIDTH, lambda: torch.zeros(0, WIDTH))
    states = np.random.default_rng(0).normal(size=(5, WIDTH))
    coordinates = states @ axes.double().numpy()
    expected = np.maximum(np.concatenate([coordinates, -coordinates], axis=1), 0)
    np.testing.assert_allclose(whole.project(states), expected, atol=1e-6)
    np.testing.assert_allclose(whole.lift(expected), states, atol=1e-6)


def test_the_features_of_a_broken_file_are_refused(tmp_path: Path) -> None:
    found = ca.align(data_of(bits()), method="dbm", search=SEARCH.replace(max_steps=40))
    path = found.save(tmp_path) / "maps.safetensors"
    tensors = load_file(path)
    with safe_open(path, "pt") as opened:
        header = opened.metadata()
    save_file(tensors | {"maps.0.features": torch.arange(7)}, path, header)
    with pytest.raises(ca.FileFormatError, match=r"maps.0.features is \[7\], and its directions \[8, 2\]"):
        ca.load_alignment(tmp_path)


def test_the_random_control_swaps_as_many_features(zoo_pair: tuple[ca.networks.GRU, ca.networks.GRU]) -> None:
    few: dict[str, Any] = {
        "n_train": 500,
        "n_validation": 50,
        "n_test": 300,
        "search": ca.SearchConfig(max_steps=60, batch_size=64),
    }
    found = ca.align(zoo_pair[0].site("hidden"), method=ca.DBM("pca", mask_weight=10.0), controls=True, **few)
    assert found.record.rank < 40
    assert found.worst_iia > 0.8
    assert found.worst_controls["random"] < 0.7  # all 128 components would be the full state, with an IIA of 1
    assert set(found.controls["steps"]) == {0, 60}


def test_estimates_are_of_gated_searches(tiny_pair: tuple[ca.networks.GRU, ca.networks.GRU]) -> None:
    fields: dict[str, Any] = {"n_train": 64, "n_validation": 32, "n_test": 32}
    for chosen in (fields | {"method": "dbm"}, fields | {"method": "das", "rank": "boundary"}):
        assert ca.estimate(tiny_pair[0].site("hidden"), **chosen).step > 0


def test_a_boundary_rank_is_a_word_a_table_and_an_object() -> None:
    assert rank_selection_of("boundary") == ca.BoundaryRank()
    table = {"max_rank": 8, "boundary_temperatures": [2.0, 0.2]}
    chosen = ca.BoundaryRank(max_rank=8, boundary_temperatures=(2.0, 0.2))
    assert rank_selection_of(table) == chosen
    config = AlignmentConfig(rank=chosen, method=ca.DAS())
    assert AlignmentConfig.model_validate_json(config.model_dump_json()) == config
    assert override({}, {("rank", "boundary_weight"): 0.5})["rank"]["boundary_weight"] == 0.5
    dbm = AlignmentConfig(method=ca.DBM("pca", mask_temperatures=(2.0, 0.5)))
    assert AlignmentConfig.model_validate_json(dbm.model_dump_json()) == dbm


def test_the_command_line_has_them(run: Any, tmp_path: Path, tiny_pair: Any) -> None:
    few = ("--n-train", 60, "--n-validation", 40, "--n-test", 30, "--max-steps", 4, "--batch-size", 8)
    site = ("--site", "zoo:multi-object/gru/0@hidden", "--method")
    boundary = ("das", "--rank", "boundary", "--boundary-steps", 2, "--max-rank", 4)
    code, out, _ = run("align", *site, *boundary, "--out", tmp_path / "b", *few)
    assert code == 0
    assert ca.load_alignment(tmp_path / "b").record.config.rank == ca.BoundaryRank(max_rank=4, boundary_steps=2)
    assert "the search came to the end of its temperatures" in " ".join(out.split())
    code, out, _ = run("align", *site, "dbm", "--features", "pca", "--out", tmp_path / "d", *few)
    assert code == 0
    found = ca.load_alignment(tmp_path / "d")
    assert found.record.config.method == ca.DBM("pca")
    assert f"{found.record.rank} of 128 principal components" in out


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"rank": ca.BoundaryRank(max_rank=9)}, "rank must be a whole number from 1 to 8"),
        ({"rank": ca.BoundaryRank(boundary_steps=2)}, "max_steps must be at least 3; found 2"),
        ({"rank": {"boundary_weight": -1.0}}, "boundary_weight is a finite number, at least 0; found -1.0"),
        ({"rank": {"max_rank": 0}}, "max_rank must be a whole number, at least 1; found 0"),
        ({"rank": {"boundary_wait": 1.0}}, "unknown parameter of rank 'boundary_wait'; did you mean 'boundary_weight'"),
        ({"rank": {"boundary_temperatures": [0.1, 1.0]}}, "boundary_temperatures are two positive numbers"),
        ({"method": "dbm", "rank": 4}, "finds how many features are swapped: leave rank out"),
        ({"method": "dbm", "parametrization": "expm"}, "leave parametrization out"),
        ({"method": "dbm", "search": {"max_steps": 2, "learning_rate": 0.1}}, "leave learning_rate out"),
        ({"method": "dbm", "search": {"max_steps": 0}}, "max_steps must be above 0; found 0"),
        ({"method": "dbm", "search": {"max_steps": 2, "target_iia": 0.9}}, "leave out target_iia"),
        ({"method": "dbm", "start": "random"}, "dbm starts from features: leave start='random' out"),
        ({"method": {"name": "dbm", "features": "unit"}}, "unknown feature basis 'unit'; did you mean 'units'"),
        ({"method": {"name": "dbm", "features": {"a": 1}}}, "features of dbm are 'units', 'pca' or Features"),
        ({"method": {"name": "dbm", "mask_weight": -1.0}}, "mask_weight is a finite number, at least 0; found -1.0"),
    ],
)
def test_what_does_not_fit_is_refused(wrong: dict[str, Any], message: str) -> None:
    data = data_of(bits())
    usual: dict[str, Any] = {"method": "das", "search": {"max_steps": 2}}
    with pytest.raises(ca.InvalidArgument) as refused:
        ca.align(data, **(usual | wrong))
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_features_that_fit_no_state_are_refused() -> None:
    with pytest.raises(ca.InvalidArgument, match=r"found \[8, 3\], \[8, 3\] and \[3\]"):
        ca.Features(torch.zeros(8, 3), torch.zeros(8, 3))
    with pytest.raises(ca.InvalidArgument, match="unknown nonlinearity 'rellu'; did you mean 'relu'"):
        ca.Features(torch.zeros(8, 3), torch.zeros(3, 8), nonlinearity="rellu")
    with pytest.raises(ca.InvalidArgument, match="entries that are not finite"):
        ca.Features(torch.full((8, 3), torch.nan), torch.zeros(3, 8))
    with pytest.raises(ca.InvalidArgument, match="of states of width 9, and bits 0@place has width 8"):
        ca.align(data_of(bits()), method=ca.DBM(ca.Features(torch.zeros(9, 3), torch.zeros(3, 9))))


def test_the_page_has_the_table_that_its_script_wrote(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("transformers")
    docs = Path(__file__).parent.parent / "docs"
    monkeypatch.syspath_prepend(docs / "examples")
    rows = json.loads((docs / "examples" / "baselines.json").read_text())["rows"]
    assert [row["method"] for row in rows] == list(import_module("baselines").methods(both_signs(turned(0))))
    lines = (docs / "baselines.md").read_text().splitlines()
    found = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| ")][2:]
    for cells, row in zip(found, rows, strict=True):
        assert cells[:3] == [row["method"], row["swapped"], f"{row['iia']:.3f}"]
        assert row["ci_low"] <= row["iia"] <= row["ci_high"]
