"""Plans of language models whose weights are not read."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

import causalign as ca
from causalign.alignment.spec import AlignmentSpec
from causalign.networks import pretrained_source as _source
from causalign.networks.configuration import ModelConfiguration
from causalign.planning.estimate import estimate as estimate_of_sites
from causalign.planning.shallow_models import estimate_of_spec
from causalign.sites.transformers.description import SiteDescription
from causalign.sites.uri import describe_site, open_site
from causalign.tasks.in_context import InContext

pytest.importorskip("transformers")
LLAMA = ca.zoo.folder("in-context/llama")
DEPTH = 8
GRU = "zoo:multi-object/gru,counts=1..12@embedding"


@pytest.fixture(scope="module")
def described(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped Llama's shape, but of more layers, and without weights."""
    folder: Path = Path(shutil.copytree(LLAMA, tmp_path_factory.mktemp("described") / "llama"))
    (folder / "model.safetensors").unlink()
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"num_hidden_layers": DEPTH, "layer_types": None}))
    return folder


@pytest.mark.parametrize("at", ["embedding", "layer.3", f"layer.{DEPTH}"])
def test_a_model_without_weights_is_planned_as_the_whole_would_be(described: Path, at: str) -> None:
    reference, few = f"hf:{described}@{at}", {"n_train": 200, "n_validation": 50, "n_test": 50}
    search = {"batch_size": 32, "max_steps": 3}
    asked = AlignmentSpec.read({"sites": [reference, GRU], "rank": 4, "search": search, **few}, "the test")
    found = estimate_of_spec(asked)
    whole = describe_site(reference)
    assert isinstance(whole, SiteDescription)
    expected = estimate_of_sites([whole.drawn(), open_site(GRU)], asked.config)
    assert found.operations == pytest.approx(expected.operations, rel=0.02)
    assert found.tables == pytest.approx(expected.tables, rel=0.02)
    assert found.working == pytest.approx(expected.working, rel=0.1)
    assert found.shallow == (f"hf:{described}, {DEPTH} layers",)
    assert expected.shallow == ()


def test_the_weights_that_were_left_out_are_counted(described: Path) -> None:
    model = ModelConfiguration(str(described), InContext())
    drawn = model.drawn(3)
    assert model.depth == DEPTH
    assert model.nbytes(3) == sum(weight.nbytes for weight in drawn.parameters())
    layer = sum(weight.nbytes for weight in drawn.layers[0].parameters())
    assert model.nbytes(DEPTH) == model.nbytes(3) + (DEPTH - 3) * layer
    half = ModelConfiguration(str(described), InContext(), dtype="bfloat16")
    assert half.nbytes(3) == model.nbytes(3) / 2


def test_it_is_not_loaded_where_a_plan_says_that_it_is_too_large(
    described: Path, monkeypatch: pytest.MonkeyPatch, run: Callable[..., tuple[int, str, str]]
) -> None:
    def of_size(model: ModelConfiguration, layers: int) -> int:
        return layers << 40

    monkeypatch.setattr(ModelConfiguration, "nbytes", of_size)
    code, out, err = run("estimate", "--site", f"hf:{described}@layer.2", "--site", GRU)
    assert code == 0
    assert f"in place of hf:{described}, {DEPTH} layers." in out.replace("\n", "")
    assert "GiB of memory, and the machine has" in err
    assert "networks in half precision" in err


def test_a_shallow_model_has_to_fit_too(described: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_source, "physical", lambda: 2**10)
    with pytest.raises(ca.CausalignError, match=r"^hf:.* takes 0.0 GiB as float32, and the machine has 0.0 GiB"):
        estimate_of_spec(AlignmentSpec(sites=(f"hf:{described}",), method=ca.DAS()))


def test_shallow_sites_differ_in_the_layers_of_one_side(described: Path) -> None:
    site = describe_site(f"hf:{described}@layer.3")
    assert isinstance(site, SiteDescription)
    assert (site.below, site.above) == (3, DEPTH - 3)
    assert (site.shallowest.below, site.shallowest.above) == (1, 1)
    assert [(each.below, each.above, times) for each, times in site.deeper] == [(3, 1, 1.0), (1, 4, 4 / 3)]
    assert site.is_deep
    assert not replace(site, below=0, above=4).is_deep
    assert not replace(site, below=1, above=1).is_deep


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("hf:{}@layer.9", "unknown site of hf:.* 'layer.9'; did you mean 'layer.8'"),
        ("hf:{},words=nut/acorn/stop", "does not know ' acorn'; use other words"),
        ("hf:{}/nowhere", "no such folder"),
    ],
)
def test_what_cannot_be_described_is_refused(described: Path, reference: str, message: str) -> None:
    with pytest.raises(ca.CausalignError, match=message):
        describe_site(reference.format(described))


def test_other_references_are_not_described() -> None:
    assert describe_site(GRU) is None
    assert describe_site("recording.toml") is None
    shallow = describe_site(f"hf:{LLAMA}")
    assert isinstance(shallow, SiteDescription)
    assert not shallow.is_deep
