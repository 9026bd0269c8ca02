import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import causalign as ca
from causalign.callbacks import ProgressUpdate
from causalign.counterfactuals.direction import Direction
from causalign.counterfactuals.interventions import Swap, keep
from causalign.files import read_tensors, write_tensors
from causalign.methods.registry import SHORTHANDS
from causalign.search.objectives import Objective
from causalign.tasks.counting import MultiObject

QUICK = ca.SearchConfig(max_steps=2, eval_every=1, batch_size=8)
SMALL: dict[str, Any] = {"n_train": 40, "n_validation": 20, "n_test": 30, "search": QUICK}


def test_two_grus_that_learnt_to_count_are_interchangeable(aligned: ca.Alignment) -> None:
    assert aligned.worst_iia >= 0.99
    table = aligned.iia
    columns = ["source", "target", "variable", "iia", "ci_low", "ci_high", "rows", "no_swap", "complement"]
    assert list(table.columns) == columns
    names = ["multi-object/gru/0@hidden", "multi-object/gru/1@hidden"]
    assert list(zip(table["source"], table["target"], strict=True)) == [(s, t) for s in names for t in names]
    assert set(table["rows"]) == {1000}
    assert ((table["ci_low"] <= table["iia"]) & (table["iia"] <= table["ci_high"])).all()
    assert aligned.worst_iia == table["iia"].min()
    assert (table["no_swap"] < 0.1).all()
    for a_map in aligned.maps:
        assert a_map.frame.shape == (128, 16)
        assert (a_map.frame.mT @ a_map.frame - torch.eye(16)).abs().max() < 1e-5
        assert isinstance(a_map.scale, float)
    assert aligned.history["worst_iia"].iloc[-1] > aligned.history["worst_iia"].iloc[0]


def test_a_gru_and_an_untrained_one_do_not_align(
    zoo_pair: tuple[ca.networks.GRU, ca.networks.GRU],
) -> None:
    untrained = ca.networks.build("multi-object", "gru", seed=0)
    sites = [zoo_pair[0].site("hidden"), untrained.site("hidden")]
    alignment = ca.align(sites, rank=16, n_train=2000, search=ca.SearchConfig(max_steps=60))
    within, into_untrained, from_untrained, untrained_within = alignment.iia["iia"]
    # Into the untrained network nothing can follow: its readout never answers, whatever the maps.
    assert alignment.worst_iia == into_untrained == untrained_within == 0
    assert alignment.worst_iia <= alignment.iia["no_swap"].min()
    # From it a linear map can read some of the count (a random recurrence keeps a trace of its input), and the
    # search was no straw man: the trained network takes its own states back.
    assert from_untrained < 0.5 < 0.9 < within


def test_das_finds_the_count_and_phase_of_one_network(zoo_pair: tuple[ca.networks.GRU, ca.networks.GRU]) -> None:
    settings = ca.SearchConfig(max_steps=10)
    alignment = ca.align(zoo_pair[0].site("hidden"), method="das", rank=32, n_train=1000, search=settings)
    assert len(alignment.iia) == len(alignment.maps) == 1
    assert alignment.worst_iia > 0.95


def test_a_stitch_is_trained_and_scored_in_one_direction(tiny_pair: tuple[ca.networks.GRU, ca.networks.GRU]) -> None:
    alignment = ca.align([n.site("hidden") for n in tiny_pair], method="stitch", rank=4, **SMALL)
    assert [(row.source, row.target) for row in alignment.iia.itertuples()] == [
        ("untrained:multi-object/gru/0@hidden", "untrained:multi-object/gru/1@hidden")
    ]


@dataclass(frozen=True)
class Backwards(ca.Method):
    """Trains one direction only: from the last site to the first."""

    strength: float = 1.0

    name = "backwards"
    n_sites = 2
    more_sites = True

    def objectives(self, n_sites: int) -> dict[Direction, Objective]:
        return {Direction(n_sites - 1, 0): Objective(behavior=self.strength)}


@dataclass(frozen=True)
class Nothing(Backwards):
    name = "nothing"

    @property
    def intervention(self) -> Swap:
        return keep


def test_a_method_of_one_s_own_is_a_small_class(
    tiny_pair: tuple[ca.networks.GRU, ca.networks.GRU], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sites = [n.site("hidden") for n in (*tiny_pair, tiny_pair[0])]
    alignment = ca.align(sites, method=Backwards(strength=2.0), rank=2, **SMALL)
    assert alignment.record.method == "backwards"
    assert len(alignment.maps) == 3
    assert len(alignment.iia) == 1
    alignment.save(tmp_path)
    elsewhere = ca.load_alignment(tmp_path)  # where its class is not known
    assert elsewhere.record.method == "backwards"
    assert elsewhere.record.config.method.parameters == {"name": "backwards", "strength": 2.0}
    with pytest.raises(ca.InvalidArgument, match="'backwards' is not known here: register its class first"):
        ca.align(sites, elsewhere.record.config)
    monkeypatch.setattr("causalign.methods.registry.METHODS", dict(ca.METHODS))
    monkeypatch.setattr("causalign.methods.registry.SHORTHANDS", dict(SHORTHANDS))
    ca.register_method(Backwards)
    assert ca.load_alignment(tmp_path).record.config.method == Backwards(strength=2.0)
    fields = {"method": {"name": "backwards", "strength": 3.0}}
    assert ca.AlignmentConfig.read(fields, "a file").method == Backwards(3.0)


@pytest.mark.parametrize("kind", ["expm", "gram-schmidt"])
@pytest.mark.parametrize("scale", [True, False])
@pytest.mark.parametrize("start", ["random", "closed-form"])
def test_maps_starts_and_scalars(
    tiny_pair: tuple[ca.networks.GRU, ca.networks.GRU], kind: str, scale: bool, start: str
) -> None:
    sites = [network.site("hidden") for network in tiny_pair]
    alignment = ca.align(sites, rank=3, parametrization=kind, scale=scale, start=start, **SMALL)
    assert (alignment.record.config.parametrization, alignment.record.start) == (kind, start)
    for a_map, width in zip(alignment.maps, (6, 9), strict=True):
        assert a_map.frame.shape == (width, 3)
        assert scale or a_map.scale == 1.0


def test_variables_can_differ_by_side(tiny_pair: tuple[ca.networks.GRU, ca.networks.GRU]) -> None:
    sites = [network.site("hidden") for network in tiny_pair]
    alignment = ca.align(sites, variable=("count", "phase"), rank=2, **SMALL)
    assert alignment.iia["variable"].tolist() == ["count", "count -> phase", "phase -> count", "phase"]
    # A count can only be a phase where it is 0 or 1; a test of drawing has the details.
    assert alignment.record.variable == ("count", "phase")


def test_the_embedding_is_a_site_like_another(tiny_pair: tuple[ca.networks.GRU, ca.networks.GRU]) -> None:
    sites = [tiny_pair[0].site("hidden"), tiny_pair[1].site("embedding")]
    assert len(ca.align(sites, rank=2, **SMALL).iia) == 4


def test_the_same_seed_gives_the_same_bytes(tiny_pair: tuple[ca.networks.GRU, ca.networks.GRU], tmp_path: Path) -> None:
    sites = [network.site("hidden") for network in tiny_pair]
    one, two, other = (
        ca.align(sites, rank=3, seed=seed, **SMALL).save(tmp_path / str(i)) for i, seed in enumerate((4, 4, 5))
    )
    maps = [(folder / "maps.safetensors").read_bytes() for folder in (one, two, other)]
    assert maps[0] == maps[1] != maps[2]
    results = [json.loads((folder / "result.json").read_text()) for folder in (one, two)]
    assert {k: v for k, v in results[0].items() if k != "seconds"} == {
        k: v for k, v in results[1].items() if k != "seconds"
    }


def test_a_saved_alignment_loads_to_the_same_bytes(rough: ca.Alignment, tmp_path: Path) -> None:
    loaded = ca.load_alignment(rough.save(tmp_path / "one"))
    loaded.save(tmp_path / "two")
    for name in ("maps.safetensors", "result.json", "rows.safetensors"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    pd.testing.assert_frame_equal(loaded.iia, rough.iia)
    pd.testing.assert_frame_equal(loaded.rows, rough.rows)
    assert all(
        torch.equal(a.frame, b.frame) and a.scale == b.scale for a, b in zip(loaded.maps, rough.maps, strict=True)
    )
    assert sorted(file.name for file in (tmp_path / "one").iterdir()) == [
        "maps.safetensors",
        "result.json",
        "rows.safetensors",
    ]


def test_result_json_has_what_is_promised(rough: ca.Alignment, tmp_path: Path) -> None:
    result = json.loads((rough.save(tmp_path) / "result.json").read_text())
    promised = {
        "schema_version",
        "config",
        "variable",
        "rank",
        "start",
        "sites",
        "iia",
        "worst_iia",
        "steps",
        "stopped",
    }
    assert promised | {"data", "rows", "notes", "seconds", "versions"} <= set(result)
    assert result["schema_version"] == 2
    assert result["config"]["method"] == {"name": "mas", "stepwise": False, "latent_weight": 0.0}
    assert ca.AlignmentConfig.read(result["config"], "result.json") == rough.record.config
    assert set(result["seconds"]) == {"data", "states", "search", "evaluate", "controls", "total"}
    assert result["seconds"]["total"] >= result["seconds"]["search"]
    assert result["sites"][0]["fingerprint"] == ca.networks.build("multi-object", "gru", seed=0, width=6).fingerprint


def test_a_broken_alignment_is_refused(rough: ca.Alignment, tmp_path: Path) -> None:
    with pytest.raises(ca.CausalignError, match="not a saved alignment"):
        ca.load_alignment(tmp_path)
    rough.save(tmp_path)
    maps, result = tmp_path / "maps.safetensors", tmp_path / "result.json"
    whole = maps.read_bytes()
    maps.write_bytes(whole[:-10])
    with pytest.raises(ca.CausalignError, match="maps.safetensors: not a whole safetensors file"):
        ca.load_alignment(tmp_path)
    maps.write_bytes(whole)
    given = json.loads(result.read_text())
    for wrong, message in (
        ({"iia": []}, "iia must score at least one direction, or latent must"),
        ({"sites": given["sites"][:1]}, "a site that is not listed"),
        ({"rank": 2}, r"the map of .* is \[6, 3\], and result.json says \[6, 2\]"),
    ):
        result.write_text(json.dumps(given | wrong))
        with pytest.raises(ca.CausalignError, match=message):
            ca.load_alignment(tmp_path)
    result.write_text(json.dumps(given | {"sites": given["sites"] * 2}))
    with pytest.raises(ca.CausalignError, match="maps.safetensors is not of the alignment in result.json"):
        ca.load_alignment(tmp_path)
    result.write_text(json.dumps(given | {"schema_version": 99}))
    with pytest.raises(ca.CausalignError, match="result.json: schema_version: "):
        ca.load_alignment(tmp_path)


@pytest.mark.parametrize(
    ("name", "factor", "message"),
    [
        ("maps.0.frame", 1.1, "the columns of the map are not orthonormal; the largest error is 0.21"),
        ("maps.1.scale", -1.0, "the scale of the map must be positive; found -"),
        ("maps.1.scale", float("inf"), "has NaN or infinite entries"),
    ],
)
def test_loaded_maps_are_checked(rough: ca.Alignment, tmp_path: Path, name: str, factor: float, message: str) -> None:
    file = rough.save(tmp_path) / "maps.safetensors"
    tensors, header = read_tensors(file)
    write_tensors(file, tensors | {name: factor * tensors[name]}, header)
    with pytest.raises(ca.FileFormatError, match=message):
        ca.load_alignment(tmp_path)


def test_progress_is_told_stage_by_stage(
    tiny_pair: tuple[ca.networks.GRU, ca.networks.GRU], capsys: pytest.CaptureFixture[str]
) -> None:
    seen: list[ProgressUpdate] = []
    sites = [network.site("hidden") for network in tiny_pair]
    ca.align(sites, rank=2, callbacks=[seen.append], **SMALL)
    assert list(dict.fromkeys(update.stage for update in seen)) == ["counterfactuals", "search"]
    assert {"loss", "worst IIA"} <= set(seen[-2].figures)
    assert capsys.readouterr().err == ""
    ca.align(sites, rank=2, progress=True, **SMALL)
    assert "search" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"variable": "cuont"}, "unknown variable of multi-object 'cuont'; did you mean 'count'"),
        ({"variable": ("full", "count")}, r"'full' of multi-object \(phase, count\) cannot be set as 'count'"),
        ({"variable": ("full",)}, "one for each of the 2 sites; found 1"),
        ({"method": "mass"}, "unknown method 'mass'; did you mean 'mas'"),
        ({"method": "das"}, "das takes 1 site, found 2"),
        ({"rank": 0}, "rank must be a whole number, at least 1; found 0"),
        ({"rank": -3}, "found -3"),
        ({"rank": 7}, "from 1 to 6, .*; found 7"),
        ({"parametrization": "exp"}, "unknown parametrization 'exp'; did you mean 'expm'"),
        ({"parametrisation": "expm"}, "unknown field of AlignmentConfig 'parametrisation'; did you mean 'param"),
        ({"start": "close"}, "unknown start 'close'; did you mean 'closed-form'"),
        ({"n_train": 0}, "AlignmentConfig: n_train: Input should be greater than or equal to 1, found '0'"),
        ({"seed": -1}, "seed: Input should be greater than or equal to 0, found '-1'"),
        ({"seed": 1.5}, "seed: Input should be a valid integer, found '1.5'"),
        ({"search": {"max_stepz": 3}}, "unknown field of SearchConfig 'max_stepz'; did you mean 'max_steps'"),
        ({"search": ca.BestRank([2])}, "search: Input should be a valid dictionary or instance of SearchConfig"),
        ({"method": ca.MAS}, r"method is the class MAS: give an instance, MAS\(\)"),
        ({"method": {"name": "clmas", "latent_wait": 1.0}}, "unknown parameter of clmas 'latent_wait'; did you mean"),
        ({"n_test": -1}, "n_test: Input should be greater than or equal to 1"),
    ],
)
def test_bad_arguments_are_refused_before_any_work(
    tiny_pair: tuple[ca.networks.GRU, ca.networks.GRU],
    wrong: dict[str, object],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sites = [network.site("hidden") for network in tiny_pair]
    for site in sites:
        monkeypatch.setattr(site, "read", lambda tokens: pytest.fail("work was done"))
    with pytest.raises(ca.CausalignError, match=message):
        ca.align(sites, **({"rank": 2} | wrong))  # type: ignore[arg-type]


def test_a_single_site_is_too_few_for_mas(tiny_pair: tuple[ca.networks.GRU, ca.networks.GRU]) -> None:
    with pytest.raises(ca.CausalignError, match="mas takes at least 2 sites, found 1"):
        ca.align(tiny_pair[0].site("hidden"))


def test_networks_of_other_tasks_align_where_variables_agree(
    tiny_pair: tuple[ca.networks.GRU, ca.networks.GRU],
) -> None:
    class Same(MultiObject):
        name = "same"

    sites = [tiny_pair[0].site("hidden"), tiny_pair[1].site("hidden", task=Same())]
    assert ca.align(sites, rank=2, **SMALL).record.task == "multi-object x same"


def test_the_floor_is_the_score_with_nothing_swapped(tiny_pair: tuple[ca.networks.GRU, ca.networks.GRU]) -> None:
    sites = [network.site("hidden") for network in tiny_pair]
    settings = ca.SearchConfig(max_steps=0)
    alignment = ca.align(sites, method=Nothing(), rank=2, n_train=40, n_validation=20, n_test=30, search=settings)
    assert alignment.iia["iia"].equals(alignment.iia["no_swap"])
    assert alignment.record.steps == 0


def test_a_site_that_is_there_twice_is_numbered(tiny_pair: tuple[ca.networks.GRU, ca.networks.GRU]) -> None:
    site = tiny_pair[0].site("hidden")
    alignment = ca.align([site, site], rank=2, **SMALL)
    assert alignment.iia["source"].unique().tolist() == [f"{site.name} #1", f"{site.name} #2"]
    assert [about.name for about in alignment.record.sites] == alignment.iia["source"].unique().tolist()


def test_networks_in_double_precision_align() -> None:
    network = ca.networks.build("multi-object", "gru", seed=0, width=5).double()
    assert ca.align(network.site("hidden"), method="das", rank=2, **SMALL).maps[0].frame.dtype == torch.float64


def test_networks_of_different_precision_are_refused() -> None:
    networks = [ca.networks.build("multi-object", "gru", seed=0, width=5) for _ in range(2)]
    with pytest.raises(ca.CausalignError, match="of one precision; found torch.float64, torch.float32"):
        ca.align([networks[0].double().site("hidden"), networks[1].site("hidden")], rank=2, **SMALL)


def test_a_network_that_was_moved_or_cast_needs_a_new_site() -> None:
    network = ca.networks.build("multi-object", "gru", seed=0, width=5)
    site = network.site("hidden")
    network.double()
    with pytest.raises(ca.CausalignError, match="was moved or cast after .* was made; make the site again"):
        ca.align(site, method="das", rank=2, **SMALL)


def test_align_works_where_gradients_are_off(tiny_pair: tuple[ca.networks.GRU, ca.networks.GRU]) -> None:
    sites = [network.site("hidden") for network in tiny_pair]
    with torch.no_grad():
        off = ca.align(sites, rank=2, **SMALL)
    assert off.record.iia == ca.align(sites, rank=2, **SMALL).record.iia


def test_a_task_without_anything_determined_cannot_be_scored() -> None:
    class Noise(MultiObject):
        name = "noise"

        def write(self, values: Any, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
            tokens, determined = super().write(values, rng)
            return tokens, np.zeros_like(determined)

    site = ca.networks.GRU.initialised(Noise(), seed=0, width=4).site("hidden")
    with pytest.raises(ca.CausalignError, match="without a determined token: nothing could be scored"):
        ca.align(site, method="das", rank=1, **SMALL)


def test_arguments_of_the_wrong_kind_are_refused() -> None:
    # In a process of its own, because the tests' type checks would be first to refuse them.
    code = """
import numpy as np, torch, causalign as ca
network = ca.networks.build("multi-object", "gru", seed=0, width=5)
site, columns = network.site("hidden"), ("source", "target", "label")
assert ca.align(site, method="das", rank=np.int64(2), n_train=9, n_validation=9, n_test=9).record.rank == 2
for sites, rank in (([network, network], 2), (network, 2), ("zoo:multi-object/gru", 2), (site, "most"), (site, 1.5)):
    try:
        ca.align(sites, method="das", rank=rank)
    except ca.CausalignError as error:
        print(error)
for wrong in (
    lambda: ca.align(site, {"rank": 2}),
    lambda: ca.align(site, method="das", rank=2, n_train=9, n_validation=9, n_test=9, callbacks=print),
    lambda: ca.align(ca.Site),
    lambda: ca.align(site, seed=1.5),
    lambda: ca.Site("rnn", network),
    lambda: ca.Counterfactuals.from_table({name: [[1, 2]] * 9 for name in columns}, site, position=None),
    lambda: ca.Site(network, {"B": 1}),
    lambda: ca.Site(type(network), "hidden"),
    lambda: ca.Site(torch.nn.GRU(4, 4), "0"),
):
    try:
        wrong()
    except ca.CausalignError as error:
        print(error)
"""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert ["found GRU" in lines[0], "found GRU" in lines[1], "found str" in lines[2]] == [True] * 3
    assert all("such as network.site('hidden')" in line for line in lines[:3])
    assert "found 'most'" in lines[3]
    assert "found 1.5" in lines[4]
    for line, said in zip(
        lines[5:],
        (
            "config is an AlignmentConfig, found dict: give its fields as keyword arguments",
            "callbacks is a list of functions, found a function: give it as callbacks=[function]",
            "found the class Site; pass an instance",
            "seed: Input should be a valid integer, found '1.5'",
            "at is the path of a submodule, such as 'layers.2'; found GRU: Site(module, at)",
            "found None",
            "at is the path of a submodule, such as 'layers.2'; found dict: Site(module, at)",
            "found the class GRU; pass an instance of it",
            "is in training mode (GRU); call its .eval() first",
        ),
        strict=True,
    ):
        assert said in line
