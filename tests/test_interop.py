"""Sites in models of other libraries, by the general path: Hugging Face's other families, TransformerLens, nnsight."""

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import causalign as ca
from causalign.networks.module import ModuleNetwork
from causalign.sites.base import Continuation, Places, Site
from causalign.sites.modules.hooks import ModuleSite
from causalign.sites.transformers.huggingface import HuggingFaceResidual
from causalign.tasks.counting import MultiObject

TASK = MultiObject()
TOKENS = {"B": 11, "E": 3, "R": 4, "D0": 7, "D1": 9, "D2": 5, "T": 2}
SIZES: dict[str, Any] = {"vocab_size": 12, "hidden_size": 16, "num_attention_heads": 2}


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """A second one has nothing to do in models this small, and costs more than it brings."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def library(name: str) -> Any:
    """A library that may not be there; what it warns of when it is imported is its own affair."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip(name)


def made(kind: Any, *given: Any) -> Any:
    """A model, its weights drawn wide enough for attention to matter."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = kind(*given).eval()
        for weight in model.parameters():
            weight.data = torch.randn(weight.shape) * (0.2 if weight.dim() > 1 else 0.1) + (weight.dim() == 1)
    return model


def swaps(of: Site, count: int = 8) -> tuple[Tensor, Places, Tensor, Continuation]:
    """Trials, and a swap at a random place of each, the longest continuation first."""
    trials = TASK.trials(count, np.random.default_rng(1))
    positions = torch.from_numpy(np.random.default_rng(2).integers(0, trials.lengths - 1))
    remaining = torch.from_numpy(trials.lengths) - positions - 1
    order = remaining.argsort(descending=True, stable=True)
    tokens = of.encode(trials.tokens)
    rest = torch.stack([tokens[row].roll(-1 - int(positions[row])) for row in order])
    states = torch.randn(count, of.width, generator=torch.Generator().manual_seed(0))
    return tokens, Places(order, positions[order]), states, Continuation.pack(rest, remaining[order])


def resumed(of: Site, tokens: Tensor, places: Places, states: Tensor, continuation: Continuation) -> Tensor:
    """The site's own logits."""
    with torch.no_grad():
        return of.resume(of.prefix(tokens), places, states, continuation)


def hooked(model: nn.Module, at: str, tokens: Tensor, places: Places, states: Tensor, after: Continuation) -> Tensor:
    """The logits of the continuation, one run of the model a trial, and a hook written out for it."""
    logits = []
    for trial, position, state in zip(places.trial, places.position, states, strict=True):

        def put(_: nn.Module, __: Any, out: Any, position: Tensor = position, state: Tensor = state) -> Any:
            changed = (out[0] if isinstance(out, tuple) else out).clone()
            changed[0, position] = state.view(changed.shape[2:])
            return (changed, *out[1:]) if isinstance(out, tuple) else changed

        hook = model.get_submodule(at).register_forward_hook(put)
        with torch.no_grad():
            out: Any = model(tokens[trial][None])
        logits.append(getattr(out, "logits", out)[0])
        hook.remove()
    return torch.stack(logits)[after.trial, places.position[after.trial] + after.step]


FAMILIES: dict[str, tuple[dict[str, Any], str]] = {
    "Bloom": ({"vocab_size": 12, "hidden_size": 16, "n_layer": 2, "n_head": 2}, "transformer.h.0"),
    "GPTJ": ({"vocab_size": 12, "n_embd": 16, "n_layer": 2, "n_head": 2, "rotary_dim": 4}, "transformer.h.0.attn"),
    "Falcon": ({**SIZES, "num_hidden_layers": 2}, "transformer.h.1"),
    "Mixtral": (
        {**SIZES, "num_hidden_layers": 2, "intermediate_size": 16, "num_key_value_heads": 2, "num_local_experts": 2},
        "model.layers.0",
    ),
}


def transformers_model(family: str, sizes: dict[str, Any], kind: str = "ForCausalLM") -> Any:
    """A small untrained model of that family."""
    transformers = library("transformers")
    ends = {"bos_token_id": None, "eos_token_id": None}
    return made(getattr(transformers, family + kind), getattr(transformers, f"{family}Config")(**sizes, **ends))


@pytest.mark.parametrize("family", FAMILIES)
def test_families_that_have_no_adapter_are_hooked(family: str) -> None:
    sizes, at = FAMILIES[family]
    model = transformers_model(family, sizes)
    of = ca.Site(model, at, task=TASK, tokens=TOKENS)
    assert isinstance(of, ModuleSite)
    swap = swaps(of)
    torch.testing.assert_close(resumed(of, *swap), hooked(model, at, *swap), atol=1e-4, rtol=1e-4)


LLAMA = {**SIZES, "num_hidden_layers": 2, "intermediate_size": 16, "pad_token_id": 0}


def test_layers_of_families_that_have_one_go_to_their_adapter() -> None:
    model = transformers_model("Llama", LLAMA)
    places = ("model.layers.1", "layer.2", "embedding", "model.layers.1.mlp")
    found = [ca.Site(model, at, task=TASK, tokens=TOKENS, name="m", tolerance=1e-3) for at in places]
    assert [each.name for each in found] == ["m@layer.2", "m@layer.2", "m@embedding", "m@model.layers.1.mlp"]
    assert [type(each) for each in found] == [HuggingFaceResidual] * 3 + [ModuleSite]
    assert {each.tolerance for each in found} == {1e-3}
    by_hooks = ModuleNetwork(model, TASK, TOKENS).site("model.layers.0")
    adapted = ca.Site(model, "layer.1", task=TASK, tokens=TOKENS)
    swap = swaps(adapted)
    torch.testing.assert_close(resumed(by_hooks, *swap), resumed(adapted, *swap), atol=1e-4, rtol=1e-4)
    with pytest.raises(ca.CausalignError, match=r"unknown site of m 'model.layer.1'; did you mean 'model.layers.1'"):
        ca.Site(model, "model.layer.1", task=TASK, tokens=TOKENS, name="m")
    with pytest.raises(ca.CausalignError, match="m is in training mode"):
        ca.Site(model.train(), "layer.1", task=TASK, tokens=TOKENS, name="m")


def test_encoders_are_refused_by_name() -> None:
    sizes = {**SIZES, "num_hidden_layers": 1, "intermediate_size": 16}
    for kind, message in (
        ("ForMaskedLM", "BertForMaskedLM reads its input as a whole, and a task is of ids .*: leave task out"),
        ("Model", "BertModel reads its input as a whole, and a task is of ids .*: leave task out"),
    ):
        with pytest.raises(ca.CausalignError, match=message):
            ca.Site(transformers_model("Bert", sizes, kind), "encoder", task=TASK, tokens=TOKENS)
    with pytest.raises(ca.CausalignError, match="BertModel returns BaseModelOutput.*; expected logits"):
        ca.Site(transformers_model("Bert", sizes, "Model"), "encoder")


@pytest.fixture(scope="module")
def bridge() -> Any:
    """The shipped Llama in TransformerLens."""
    library("transformer_lens")
    from transformer_lens.model_bridge import TransformerBridge

    folder = ca.zoo.folder("in-context/llama")
    model = library("transformers").AutoModelForCausalLM.from_pretrained(str(folder))
    return TransformerBridge.boot_transformers(str(folder), hf_model=model).eval()


@pytest.mark.parametrize(
    ("at", "path"),
    [
        ("blocks.0.hook_out", "blocks.0.hook_out"),
        ("blocks.0.hook_resid_post", "blocks.0.hook_out"),
        ("blocks.1.attn.hook_z", "blocks.1.attn.o.hook_in"),
        ("blocks.1.mlp", "blocks.1.mlp"),
        ("layer.2", "blocks.1"),
        ("embed.hook_out", "embed.hook_out"),
    ],
)
def test_hook_points_of_transformer_lens_are_sites(bridge: Any, at: str, path: str) -> None:
    of = ca.Site(bridge, at, task=TASK, tokens=TOKENS)
    assert isinstance(of, ModuleSite)
    swap = swaps(of)
    torch.testing.assert_close(resumed(of, *swap), hooked(bridge, path, *swap), atol=1e-5, rtol=1e-5)


def test_a_model_wrapped_by_nnsight_is_unwrapped() -> None:
    nnsight = library("nnsight")
    plain = made(nn.Sequential, nn.Embedding(12, 6), nn.Linear(6, 12))
    sites = [ca.Site(model, "0", task=TASK, tokens=TOKENS) for model in (plain, nnsight.NNsight(plain))]
    assert sites[0].network.fingerprint == sites[1].network.fingerprint
    swap = swaps(sites[0])
    torch.testing.assert_close(resumed(sites[1], *swap), resumed(sites[0], *swap))
    assert ca.sites_of(nnsight.NNsight(plain))["at"].tolist() == ["0", "1"]


@pytest.mark.parametrize("at", ["layer.1", "model.layers.0.mlp", "model.layers.1"])
def test_a_language_model_in_nnsight_is_the_model(at: str) -> None:
    """The reference is nnsight's own way to write a state."""
    nnsight = library("nnsight")
    model = transformers_model("Llama", LLAMA)
    wrapper = nnsight.NNsight(model)
    of = ca.Site(wrapper, at, task=TASK, tokens=TOKENS)
    tokens, places, states, after = swaps(of)
    module = wrapper
    for name in {"layer.1": "model.layers.0"}.get(at, at).split("."):
        module = module[int(name)] if name.isdigit() else getattr(module, name)
    logits = []
    for trial, position, state in zip(places.trial, places.position, states, strict=True):
        with torch.no_grad(), wrapper.trace(tokens[trial][None]):
            module.output[0, int(position)] = state
            found = wrapper.output.logits.save()
        logits.append(found[0])
    expected = torch.stack(logits)[after.trial, places.position[after.trial] + after.step]
    torch.testing.assert_close(resumed(of, tokens, places, states, after), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("kind", "sizes"),
    [
        ("T5", {"vocab_size": 12, "d_model": 16, "d_kv": 8, "d_ff": 16, "num_layers": 1, "num_heads": 2}),
        (
            "Bart",
            {"vocab_size": 12, "d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2},
        ),
    ],
)
def test_an_encoder_decoder_is_refused_as_one(kind: str, sizes: dict[str, Any]) -> None:
    transformers = library("transformers")
    ends = {"decoder_start_token_id": 0, "pad_token_id": 0, "bos_token_id": None, "eos_token_id": None}
    config = getattr(transformers, f"{kind}Config")(**sizes, **ends)
    model = made(getattr(transformers, f"{kind}ForConditionalGeneration"), config)
    by_task: Any = {"task": TASK, "tokens": TOKENS}
    for open_one in (lambda: ca.Site(model, "decoder", **by_task), lambda: ca.networks.HuggingFace(model)):
        with pytest.raises(ca.CausalignError, match=f"{kind}ForConditionalGeneration is an encoder-decoder: "):
            open_one()


def test_bitsandbytes_and_torchao_are_refused_by_name() -> None:
    layer = type("Linear4bit", (nn.Linear,), {"__module__": "bitsandbytes.nn.modules"})
    model = nn.Sequential(nn.Embedding(12, 6), layer(6, 12))  # in training mode too
    with pytest.raises(ca.CausalignError, match=r"m is quantized \(1 is a bitsandbytes.nn.modules.Linear4bit\)"):
        ca.Site(model, "0", name="m")
    weight = type("AffineQuantizedTensor", (nn.Parameter,), {"__module__": "torchao.dtypes"})(torch.ones(12, 6))
    model[1] = nn.Linear(6, 12)
    model[1].weight = weight
    with pytest.raises(ca.CausalignError, match=r"m is quantized \(1.weight is AffineQuantizedTensor\)"):
        ca.Site(model, "0", name="m")
