"""Maps that leave for pyvene do there what they do here."""

import warnings
from typing import Any

import pytest
import torch

import causalign as ca
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
