"""Maps that leave for pyvene do there what they do here."""

import json
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch

import causalign as ca
from causalign.alignment.mib_export import export_mib, unit_of
from causalign.alignment.pyvene_export import to_pyvene
from causalign.counterfactuals.interventions import interchange
from causalign.maps.base import AlignmentMap, random_frame
from causalign.networks.huggingface import HuggingFace
from causalign.sites.base import Continuation, Places
from causalign.tasks.no_task import NoTask

transformers = pytest.importorskip("transformers")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    pyvene = pytest.importorskip("pyvene")


def model() -> Any:
    sizes: dict[str, int] = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3, "vocab_size": 50}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return transformers.LlamaForCausalLM(transformers.LlamaConfig(**sizes, num_attention_heads=4)).eval()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("scale", [1.0, 3.0])
def test_the_intervened_logits_are_pyvenes(scale: float) -> None:
    network = HuggingFace(model(), NoTask())
    site, position = network.site("layer.2"), 4
    given = AlignmentMap(random_frame(32, 5, torch.Generator().manual_seed(1)), scale)
    base, source = torch.randint(50, (2, 6, 10), generator=torch.Generator().manual_seed(2))
    of_base, of_source = (site.read(tokens)[:, position] for tokens in (base, source))
    continuation = Continuation.pack(base[:, position + 1 :], torch.full((6,), 5))
    places = Places(torch.arange(6), torch.full((6,), position))
    with torch.no_grad():
        found = site.resume(site.prefix(base), places, interchange(of_base, of_source, given, given), continuation)
    block = {"layer": 1, "component": "block_output", "unit": "pos", "intervention": to_pyvene(given)}
    theirs = pyvene.IntervenableModel(pyvene.IntervenableConfig([block]), model())
    _, out = theirs({"input_ids": base}, [{"input_ids": source}], {"sources->base": position})
    expected = out.logits[:, position:-1].transpose(0, 1).flatten(0, 1)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    plain = network(base)[:, position:-1].transpose(0, 1).flatten(0, 1)
    assert float((plain - expected).abs().max()) > 1e-2  # it is no test of doing nothing


def test_an_alignment_gives_each_of_its_sites(rough: ca.Alignment) -> None:
    for index, each in enumerate(rough.maps):
        torch.testing.assert_close(rough.to_pyvene(index).rotate_layer.weight, each.frame)
    with pytest.raises(ca.CausalignError, match="site is the index of one of 2 sites, found 2"):
        rough.to_pyvene(2)


def test_pyvene_has_to_be_there(rough: ca.Alignment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("causalign.alignment.pyvene_export.find_spec", lambda name: None)
    with pytest.raises(ca.CausalignError, match="this needs pyvene: pip install pyvene"):
        rough.to_pyvene(0)


def mib_intervention(unit: Path) -> Any:
    """The intervention of a submission, put together from its files with pyvene's classes."""
    featurizer, inverse = (torch.load(f"{unit}_{kind}") for kind in ("featurizer", "inverse_featurizer"))
    info = featurizer["model_info"]
    assert info["featurizer_class"] == "SubspaceFeaturizerModule"
    assert info["inverse_featurizer_class"] == "SubspaceInverseFeaturizerModule"
    assert json.loads(Path(f"{unit}_indices").read_text()) is None  # all features
    rotation = info["additional_config"]["rotation_matrix"]
    assert rotation.shape[1] == info["n_features"]
    weights: list[torch.Tensor] = []
    for saved in (featurizer, inverse):
        layer = pyvene.models.layers.LowRankRotateLayer(*rotation.shape, init_orth=False)
        layer.weight.data.copy_(torch.zeros_like(rotation).fill_diagonal_(1))  # what is not in the state is lost
        module = torch.nn.ModuleDict({"rotate": torch.nn.utils.parametrizations.orthogonal(layer)})
        module.load_state_dict(saved["state_dict"])
        weights.append(layer.weight.detach())
    there, back = weights

    def forward(_: Any, base: Any, source: Any, subspaces: Any = None) -> Any:
        return source @ there @ back.T + (base - base @ there @ there.T)

    torch.testing.assert_close(there, rotation, atol=1e-6, rtol=1e-6)
    bases = (pyvene.TrainableIntervention, pyvene.DistributedRepresentationIntervention)
    return type("Featurized", bases, {"forward": forward})


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("at", "rank"), [("layer.1", 5), ("embedding", 5), ("layer.2", 32)])
def test_a_submission_to_mib_gives_the_same_logits(tmp_path: Path, at: str, rank: int) -> None:
    network, position = HuggingFace(model(), NoTask()), 4
    site = network.site(at)
    given = AlignmentMap(random_frame(32, rank, torch.Generator().manual_seed(1)), 2.0)
    layer = 0 if at == "embedding" else int(at[-1])
    unit = tmp_path / f"ResidualStream(Layer-{layer},Token-last_token)"
    assert unit_of(site, "last_token") == unit.name
    export_mib(given, tmp_path, unit.name)
    base, source = torch.randint(50, (2, 6, 10), generator=torch.Generator().manual_seed(2))
    of_base, of_source = (site.read(tokens)[:, position] for tokens in (base, source))
    continuation = Continuation.pack(base[:, position + 1 :], torch.full((6,), 5))
    places = Places(torch.arange(6), torch.full((6,), position))
    with torch.no_grad():
        found = site.resume(site.prefix(base), places, interchange(of_base, of_source, given, given), continuation)
    block = {"layer": layer, "component": "block_input", "unit": "pos", "intervention_type": mib_intervention(unit)}
    theirs = pyvene.IntervenableModel(pyvene.IntervenableConfig([block]), model())
    _, out = theirs({"input_ids": base}, [{"input_ids": source}], {"sources->base": position})
    expected = out.logits[:, position:-1].transpose(0, 1).flatten(0, 1)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    plain = network(base)[:, position:-1].transpose(0, 1).flatten(0, 1)
    assert float((plain - expected).abs().max()) > 1e-2


def test_an_alignment_is_exported_to_mib(tmp_path: Path, rough: ca.Alignment) -> None:
    site = HuggingFace(model(), NoTask()).site("layer.1")
    tokens = torch.randint(50, (30, 6), generator=torch.Generator().manual_seed(2))
    data = ca.Counterfactuals.from_arrays(
        site, source_inputs=tokens, target_inputs=tokens.flip(0), labels=[int(row[0]) for row in tokens]
    )
    found = ca.align(data, method="das", rank=3, search=ca.SearchConfig(max_steps=1, batch_size=4))
    folder = found.export_mib(tmp_path / "ioi_task_LlamaForCausalLM_output_token", "last_token")
    assert sorted(file.name for file in folder.iterdir()) == [
        f"ResidualStream(Layer-1,Token-last_token)_{kind}" for kind in ("featurizer", "indices", "inverse_featurizer")
    ]
    saved = torch.load(folder / "ResidualStream(Layer-1,Token-last_token)_featurizer")
    torch.testing.assert_close(saved["model_info"]["additional_config"]["rotation_matrix"], found.maps[0].frame)
    with pytest.raises(ca.CausalignError, match=r"a decoder layer; .*@layer.3 is not \(embedding, layer.1, layer.2\)"):
        unit_of(HuggingFace(model(), NoTask()).site("layer.3"), "last_token")
    with pytest.raises(ca.CausalignError, match=r"a decoder layer; .*@hidden is not \(none\)"):
        rough.export_mib(tmp_path, "last_token")
    with pytest.raises(ca.CausalignError, match="token is the name of a position, such as 'last_token'; found 'a/b'"):
        found.export_mib(tmp_path, "a/b")
    with pytest.raises(ca.CausalignError, match="site is the index of one of 1 sites, found 1"):
        found.export_mib(tmp_path, "last_token", 1)
    found.save(tmp_path / "saved")
    with pytest.raises(ca.CausalignError, match=r"no networks to ask for layers: with_sites"):
        ca.load_alignment(tmp_path / "saved").export_mib(tmp_path, "last_token")
