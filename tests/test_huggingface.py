"""Sites in Hugging Face's models against the models themselves, run whole with a forward hook on a layer."""

import copy
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import causalign as ca
from causalign.networks.huggingface import HuggingFace
from causalign.sites.base import Continuation, Places, Site
from causalign.sites.checks import check
from causalign.tasks.counting import MultiObject

transformers = pytest.importorskip("transformers")

TOKENS = {"B": 11, "E": 3, "R": 40, "D0": 7, "D1": 29, "D2": 5, "T": 2}
SIZES = {"vocab_size": 50, "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4}
GROUPED = {**SIZES, "intermediate_size": 48, "num_key_value_heads": 2, "pad_token_id": 0}
ALTERNATING = ["sliding_attention", "full_attention", "sliding_attention"]
WINDOW: dict[str, Any] = {"sliding_window": 5, "layer_types": ALTERNATING}
ROTARY: dict[str, Any] = {"sliding_attention": {"rope_theta": 100.0, "rope_type": "default"}}
ROTARY["full_attention"] = {"rope_theta": 10000.0, "rope_type": "linear", "factor": 2.0}
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("Llama", GROUPED),
    "llama-alone": ("Llama", {**GROUPED, "num_key_value_heads": 1, "tie_word_embeddings": True}),
    "mistral": ("Mistral", {**GROUPED, "sliding_window": 5}),
    "mistral-unbounded": ("Mistral", {**GROUPED, "sliding_window": None}),
    "qwen2": ("Qwen2", {**GROUPED, "use_sliding_window": True, **WINDOW}),
    "qwen3": ("Qwen3", {**GROUPED, "head_dim": 16}),
    "gemma2": ("Gemma2", {**GROUPED, "head_dim": 16, **WINDOW, "attn_logit_softcapping": 0.5}),
    "gemma3": ("Gemma3", {**GROUPED, "head_dim": 16, **WINDOW, "rope_parameters": ROTARY}),
    "olmo2": ("Olmo2", GROUPED),
    "gemma": ("Gemma", {**GROUPED, "head_dim": 16}),
    "olmo": ("Olmo", {**GROUPED, "clip_qkv": 0.5}),
    "olmo3": ("Olmo3", {**GROUPED, **WINDOW}),
    "smollm3": ("SmolLM3", {**GROUPED, "no_rope_layers": [1, 0, 1]}),
    "starcoder2": ("Starcoder2", {**GROUPED, "sliding_window": 5}),
    "phi3": ("Phi3", {**GROUPED, "sliding_window": 4}),
    "gpt2": ("GPT2", {"vocab_size": 50, "n_embd": 32, "n_layer": 3, "n_head": 4, "n_positions": 80}),
    "gpt-neox": ("GPTNeoX", {**SIZES, "intermediate_size": 48}),
    "gpt-neox-serial": ("GPTNeoX", {**SIZES, "intermediate_size": 48, "use_parallel_residual": False}),
}
CLASSES = {"GPT2": "GPT2LMHeadModel"}


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """A second one has nothing to do in models this small, and costs more than it brings."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def model(name: str) -> nn.Module:
    """A small model, its weights drawn wide enough for attention, caps and windows to matter."""
    family, sizes = MODELS[name]
    config = getattr(transformers, "Gemma3TextConfig" if family == "Gemma3" else f"{family}Config")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made = getattr(transformers, CLASSES.get(family, f"{family}ForCausalLM"))(config(**sizes))
        for weight in made.parameters():
            weight.data = torch.randn(weight.shape) * (0.2 if weight.dim() > 1 else 0.1) + (weight.dim() == 1)
    return made


PROMPT = (17, 4, 33, 8, 8, 21, 45)


def network(name: str, prompt: tuple[int, ...] = ()) -> HuggingFace:
    return HuggingFace(model(name), MultiObject(), TOKENS, name=name, prompt=prompt)


@contextmanager
def replaced(of: HuggingFace, at: str, where: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """Within this, the state at a place is what `where` makes of it."""
    layers: Any = next(each for each in of.model.modules() if isinstance(each, nn.ModuleList))
    if at == "embedding":
        hook = layers[0].register_forward_pre_hook(lambda _, inputs: (where(inputs[0]), *inputs[1:]))
    else:
        hook = layers[int(at[-1]) - 1].register_forward_hook(lambda _, inputs, out: where(out))
    yield
    hook.remove()


def swaps(site: Site, count: int = 12) -> tuple[Tensor, Places, Continuation]:
    """Trials, and a swap at a random place of each, the longest continuation first."""
    trials = site.task.trials(count, np.random.default_rng(1))
    rng = np.random.default_rng(2)
    positions = torch.from_numpy(rng.integers(0, trials.lengths - 1))
    remaining = torch.from_numpy(trials.lengths) - positions - 1
    order = remaining.argsort(descending=True, stable=True)
    tokens = site.encode(trials.tokens)
    rest = torch.stack([tokens[row].roll(-1 - int(positions[row])) for row in order])
    return tokens, Places(order, positions[order]), Continuation.pack(rest, remaining[order])


def whole_run(site: Site, tokens: Tensor, places: Places, states: Tensor, continuation: Continuation) -> Tensor:
    """The logits of the continuation from whole runs, one a trial, one state swapped or those of all positions."""
    assert isinstance(site.network, HuggingFace)
    logits = []
    before = len(site.network.prompt)
    for trial, position, state in zip(places.trial, (places.position + before).tolist(), states, strict=True):
        first = position if state.dim() == 1 else before

        def swapped(out: Tensor, first: int = first, position: int = position, state: Tensor = state) -> Tensor:
            given = state[None] if state.dim() == 1 else state[: position - before + 1]
            return torch.cat([out[:, :first], given[None], out[:, position + 1 :]], dim=1)

        with replaced(site.network, site.at, swapped):
            logits.append(site.network(tokens[trial][None])[0])
    at = places.position[continuation.trial] + continuation.step
    return torch.stack(logits)[continuation.trial, at]


def assert_alike(found: Tensor, expected: Tensor) -> None:
    """To 1e-5, of the largest where that is more."""
    torch.testing.assert_close(found, expected, atol=1e-5 * max(1.0, float(expected.abs().max())), rtol=1e-5)


PLACES = ("embedding", "layer.1", "layer.2", "layer.3")


@pytest.mark.parametrize("prompt", [(), PROMPT], ids=["alone", "after a prompt"])
@pytest.mark.parametrize("name", MODELS)
def test_a_swap_gives_the_logits_of_the_hooked_model(name: str, prompt: tuple[int, ...]) -> None:
    of = network(name, prompt)
    for at in PLACES:
        site = of.site(at)
        tokens, places, continuation = swaps(site)
        generator = torch.Generator().manual_seed(0)
        single = torch.randn(len(tokens), site.width, generator=generator)
        found = site.resume(site.prefix(tokens), places, single, continuation)
        assert_alike(found, whole_run(site, tokens, places, single, continuation))
        steps = torch.randn(*tokens.shape, site.width, generator=generator)
        found = site.resume_steps(site.prefix(tokens, stepwise=True), places, steps, continuation)
        assert_alike(found, whole_run(site, tokens, places, steps, continuation))


@pytest.mark.parametrize("prompt", [(), PROMPT], ids=["alone", "after a prompt"])
@pytest.mark.parametrize("name", MODELS)
def test_states_are_what_a_hook_sees_and_the_site_is_sound(name: str, prompt: tuple[int, ...]) -> None:
    of = network(name, prompt)
    tokens = of.site("embedding").encode(MultiObject().trials(6, np.random.default_rng(0)).tokens)
    for at in PLACES:
        seen: list[Tensor] = []
        with replaced(of, at, lambda out, seen=seen: seen.append(out) or out):  # type: ignore[misc]
            of(tokens)
        assert_alike(of.site(at).read(tokens), seen[0][:, len(prompt) :])
    check(of.site("layer.1"))
    check(of.site("layer.2"), stepwise=True)


PARTS = {
    ("llama", "layer.2.mlp"): ("model.layers.1.mlp", slice(None)),
    ("llama", "layer.2.head.1"): ("model.layers.1.self_attn.o_proj", slice(8, 16)),
    ("gpt2", "layer.2.attention"): ("transformer.h.1.attn.c_proj", slice(None)),
    ("gpt2", "layer.2.head.1"): ("transformer.h.1.attn.c_proj", slice(8, 16)),
}


@pytest.mark.parametrize("stepwise", [False, True])
@pytest.mark.parametrize(("name", "at"), PARTS)
def test_parts_of_layers_are_swapped_after_a_prompt(name: str, at: str, stepwise: bool) -> None:
    of, (path, part) = network(name, PROMPT), PARTS[name, at]
    site = of.site(at)
    assert site.network is of
    tokens, places, continuation = swaps(site)
    own = site.read(tokens)
    shape = (*tokens.shape, site.width) if stepwise else (len(tokens), site.width)
    states = torch.randn(shape, generator=torch.Generator().manual_seed(0)) * own.std()
    prefix = site.prefix(tokens, stepwise=stepwise)
    found = (site.resume_steps if stepwise else site.resume)(prefix, places, states, continuation)
    is_head, logits, before = ".head." in at, [], len(PROMPT)
    for trial, position, state in zip(places.trial, (places.position + before).tolist(), states, strict=True):

        def edited(value: Tensor, position: int = position, state: Tensor = state) -> Tensor:
            value = value.clone()
            if stepwise:
                value[0, before : position + 1, part] = state[: position + 1 - before]
            else:
                value[0, position, part] = state
            return value

        submodule = of.model.get_submodule(path)
        if is_head:
            hook = submodule.register_forward_pre_hook(lambda _, args, edited=edited: (edited(args[0]),))
        else:
            hook = submodule.register_forward_hook(lambda _, __, out, edited=edited: edited(out))
        logits.append(of(tokens[trial][None])[0])
        hook.remove()
    expected = torch.stack(logits)[continuation.trial, places.position[continuation.trial] + continuation.step]
    assert_alike(found, expected)
    check(site, stepwise=stepwise)


@pytest.mark.parametrize("name", ["llama", "gpt2", "gemma2"])
def test_the_gradient_is_that_of_the_hooked_model_and_reaches_only_the_state(name: str) -> None:
    site = network(name).site("layer.1")
    tokens, places, continuation = swaps(site)
    state = torch.randn(len(tokens), site.width, generator=torch.Generator().manual_seed(1)).requires_grad_()
    weights = torch.randn(len(continuation.tokens), 50, generator=torch.Generator().manual_seed(2))
    found = site.resume(site.prefix(tokens), places, state, continuation)
    expected = whole_run(site, tokens, places, state, continuation)
    of_found, of_expected = (torch.autograd.grad((weights * each).sum(), state)[0] for each in (found, expected))
    torch.testing.assert_close(of_found, of_expected, atol=1e-4, rtol=1e-4)
    assert all(weight.grad is None for weight in site.network.parameters())


def test_the_model_is_left_as_it_was() -> None:
    of = network("llama")
    before = of.model.config._attn_implementation
    of.site("layer.1").read(torch.ones(1, 3, dtype=torch.long))
    assert of.model.config._attn_implementation == before


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", ["llama", "gemma2", "gpt2"])
def test_half_precision_casts_weights_but_not_rotary_frequencies(name: str, dtype: torch.dtype) -> None:
    site = network(name).site("layer.1")
    half = site.cast(dtype)
    assert half.dtype == dtype
    assert site.dtype == torch.float32
    assert half.network.fingerprint != site.network.fingerprint
    assert all(b.dtype == torch.float32 for n, b in half.network.named_buffers() if "inv_freq" in n)
    check(half)


def test_an_alignment_between_two_families_runs(tmp_path: Any) -> None:
    sites = [network("llama").site("layer.2"), network("gpt2").site("embedding")]
    settings = ca.SearchConfig(max_steps=2, eval_every=1, batch_size=8)
    found = ca.align(sites, rank=3, n_train=40, n_validation=20, n_test=30, search=settings)
    found.save(tmp_path)
    assert set(found.iia["source"]) == {"llama@layer.2", "gpt2@embedding"}


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        ({**TOKENS, "R": 50}, r"^tiny has the token ids 0 to 49, found 50 for R$"),
        ({**TOKENS, "R": 3}, r"^the tokens E and R have the same id 3 in tiny$"),
        ({"B": 1, "E": 2}, r"^tiny does not know the tokens .*R.*; it knows P, B, E$"),
    ],
)
def test_tokens_that_do_not_fit_are_refused(tokens: dict[str, int], message: str) -> None:
    with pytest.raises(ca.CausalignError, match=message):
        HuggingFace(model("llama"), MultiObject(), tokens, name="tiny")


def test_models_that_are_not_supported_are_refused() -> None:
    config = transformers.BloomConfig(vocab_size=50, hidden_size=8, n_layer=1, n_head=2)
    with pytest.raises(ca.CausalignError, match=r"^BloomForCausalLM \(bloom\) is not supported; .* gemma, gemma2, "):
        HuggingFace(transformers.BloomForCausalLM(config), MultiObject(), TOKENS)
    with pytest.raises(ca.CausalignError, match=r"^LlamaModel \(llama\) is not supported"):
        HuggingFace(copy.copy(network("llama").model.model), MultiObject(), TOKENS)
    with pytest.raises(ca.CausalignError, match=r"^Linear \(Linear\) is not supported"):
        HuggingFace(nn.Linear(2, 2), MultiObject(), TOKENS)
    with pytest.raises(ca.CausalignError, match="unknown site of llama 'layer.4'; did you mean 'layer.3'"):
        network("llama").site("layer.4")


def test_encoders_quantised_and_offloaded_models_are_refused() -> None:
    small = {"vocab_size": 50, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    bert = transformers.BertForMaskedLM(transformers.BertConfig(**small, intermediate_size=8))
    with pytest.raises(
        ca.CausalignError, match=r"^BertForMaskedLM .* causal language models, which predict the next to"
    ):
        HuggingFace(bert, MultiObject(), TOKENS)
    quantised: Any = model("llama")
    quantised.config.quantization_config = {"quant_method": "gptq", "bits": 4}
    with pytest.raises(ca.CausalignError, match=r"is quantized \(gptq\); load it in bfloat16"):
        HuggingFace(quantised, MultiObject(), TOKENS)
    with pytest.raises(ca.CausalignError, match="has weights that are offloaded"):
        HuggingFace(model("llama").to("meta"), MultiObject(), TOKENS)


def test_a_rank_above_the_width_of_a_model_is_refused() -> None:
    with pytest.raises(ca.CausalignError, match="rank must be a whole number from 1 to 32, the width of llama@layer.1"):
        ca.align(network("llama").site("layer.1"), method="das", rank=33)


@pytest.mark.parametrize("name", ["llama", "gpt2", "olmo"])
def test_a_model_that_accelerate_has_laid_out_is_run_as_it_is(name: str) -> None:
    accelerate = pytest.importorskip("accelerate")
    laid_out: Any = accelerate.dispatch_model(model(name), {"": "cpu"}, force_hooks=True)
    sites = [
        HuggingFace(laid_out, MultiObject(), TOKENS, prompt=PROMPT).site("layer.1"),
        network(name, PROMPT).site("layer.1"),
    ]
    tokens, places, continuation = swaps(sites[0])
    state = torch.randn(len(tokens), 32, generator=torch.Generator().manual_seed(0))
    of_first, of_second = (site.resume(site.prefix(tokens), places, state, continuation) for site in sites)
    assert_alike(of_first, of_second)
    check(sites[0])


def test_a_step_that_does_not_fit_into_memory_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    site = network("llama").site("layer.1")

    def full(*_: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")

    settings = ca.SearchConfig(max_steps=1, batch_size=8)
    monkeypatch.setattr(sys.modules["causalign.search.search"], "_train_step", full)
    with pytest.raises(ca.CausalignError, match=r"^batches of 8 do not fit into memory .*batch_size = 4 takes half"):
        ca.align(site, method="das", rank=2, n_train=20, n_validation=10, n_test=10, search=settings)


DYNAMIC = {"rope_type": "dynamic", "rope_theta": 100.0, "factor": 2.0}
LONG: dict[str, Any] = {"rope_type": "longrope", "rope_theta": 100.0}
LONG |= {"short_factor": [1.0, 1.5, 2.0, 3.0], "long_factor": [1.0, 2.0, 4.0, 8.0]}
LIMITED: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("Llama", {**GROUPED, "max_position_embeddings": 40}),
    "gpt2": ("GPT2", {**MODELS["gpt2"][1], "n_positions": 40}),
    "dynamic": ("Llama", {**GROUPED, "max_position_embeddings": 40, "rope_parameters": DYNAMIC}),
    "longrope": ("Phi3", {**GROUPED, "original_max_position_embeddings": 40, "rope_parameters": LONG}),
}


@pytest.mark.parametrize("name", LIMITED)
def test_trials_beyond_the_positions_of_a_model_are_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(MODELS, name, LIMITED[name])
    site = network(name).site("layer.1")
    tokens, places, continuation = swaps(site)
    assert tokens.shape[1] < 40
    prefix, state = site.prefix(tokens), torch.randn(len(tokens), site.width)
    found = site.resume(prefix, places, state, continuation)
    assert_alike(found, whole_run(site, tokens, places, state, continuation))
    with pytest.raises(ca.CausalignError, match="trials of 41 tokens are too long; the model has 40 positions"):
        site.read(torch.ones(1, 41, dtype=torch.long))
    with pytest.raises(ca.CausalignError, match="are too long; the model has 40 positions"):
        site.resume(prefix, Places(places.trial, places.position + 30), state, continuation)
