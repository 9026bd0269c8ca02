"""Language models of many families: every kind of place, against hooked runs of the plain model, row by row."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import causalign as ca
from causalign.sites.base import Continuation, Places
from naive_swap import state_at, swapped_logits

transformers = pytest.importorskip("transformers")
SIZES = {"vocab_size": 60, "hidden_size": 32, "num_hidden_layers": 3}
HEADS = SIZES | {"num_attention_heads": 4}
GROUPED = HEADS | {"intermediate_size": 48, "num_key_value_heads": 2, "pad_token_id": None}
EXPERTS = {"num_local_experts": 4, "num_experts_per_tok": 2}
LATENT_ATTENTION = {
    "num_key_value_heads": 4,
    "moe_intermediate_size": 16,
    "n_routed_experts": 8,
    "n_shared_experts": 1,
    "num_experts_per_tok": 2,
    "n_group": 2,
    "topk_group": 1,
    "kv_lora_rank": 16,
    "q_lora_rank": 16,
    "qk_nope_head_dim": 8,
    "qk_rope_head_dim": 8,
    "v_head_dim": 8,
    "first_k_dense_replace": 1,
}
FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "Mixtral": ("model.layers.1", {**GROUPED, **EXPERTS}),
    "Qwen3Moe": (
        "model.layers.1",
        {**GROUPED, "head_dim": 16, "moe_intermediate_size": 16, "num_experts": 4, "num_experts_per_tok": 2},
    ),
    "Phimoe": ("model.layers.1", {**GROUPED, **EXPERTS}),  # its router is a linear layer that returns a tuple
    "GptOss": ("model.layers.1", {**GROUPED, **EXPERTS, "head_dim": 16, "sliding_window": 5}),
    "DeepseekV3": ("model.layers.1", {**GROUPED, **LATENT_ATTENTION}),
    "Mamba": ("backbone.layers.1", {**SIZES, "state_size": 8}),
    "Falcon": ("transformer.h.1", {**HEADS, "alibi": True, "new_decoder_architecture": False, "multi_query": False}),
    "Bloom": ("transformer.h.1", {"vocab_size": 60, "hidden_size": 32, "n_layer": 3, "n_head": 4}),
    "OPT": ("model.decoder.layers.1", {**HEADS, "ffn_dim": 48, "word_embed_proj_dim": 32}),
}


def small(family: str, sizes: dict[str, Any], name: str = "") -> Any:
    """A model with random weights, wide enough for a swap to change the logits."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        config = getattr(transformers, f"{name or family}Config")(**sizes)
        model = getattr(transformers, f"{family}ForCausalLM")(config).eval()
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim > 1:
                weight *= 3
    return model


@pytest.mark.parametrize("family", FAMILIES)
def test_own_rows_are_hooked_runs_of_the_plain_model(family: str) -> None:
    path, sizes = FAMILIES[family]
    model = small(family, sizes)
    site, rng = ca.Site(model, path), np.random.default_rng(0)
    source, target = ([rng.integers(4, 50, n).tolist() for n in rng.integers(3, 8, 40)] for _ in range(2))
    labels = rng.integers(4, 50, 40).tolist()
    data = ca.Counterfactuals.from_arrays(site, source_inputs=source, target_inputs=target, labels=labels)
    found = ca.align(data, method="das", rank=3, search=ca.SearchConfig(max_steps=2, eval_every=1, batch_size=8))
    projector = found.maps[0].frame @ found.maps[0].frame.mT
    for line in found.score_rows(data, "probability").to_dict("records"):
        row = line["row"]
        state = state_at(model, path, source[row], -1)
        logits = swapped_logits(model, path, target[row], -1, state, projector)[-1]
        assert line["probability"] == pytest.approx(float(logits.softmax(-1)[labels[row]]), abs=1e-6)


Where = tuple[str, str, slice]
"""The path of a submodule, the side of its call, and the coordinates there."""
ALL = slice(None)
KINDS: dict[str, dict[str, Where]] = {
    "Mixtral": {
        "layer.2.mlp": ("model.layers.1.mlp", "output", ALL),
        "layer.2.attention": ("model.layers.1.self_attn", "output", ALL),
        "layer.2.head.3": ("model.layers.1.self_attn.o_proj", "input", slice(24, 32)),
        "model.layers.1.mlp:input": ("model.layers.1.mlp", "input", ALL),
    },
    "Qwen3Moe": {
        "embedding": ("model.layers.0", "input", ALL),
        "layer.2.head.3": ("model.layers.1.self_attn.o_proj", "input", slice(48, 64)),
        "layer.2.head.3[4:-2]": ("model.layers.1.self_attn.o_proj", "input", slice(52, 62)),
    },
    "GptOss": {
        "layer.2.mlp": ("model.layers.1.mlp", "output", ALL),
        "layer.2.head.0": ("model.layers.1.self_attn.o_proj", "input", slice(0, 16)),
        "layer.1[3:9]": ("model.layers.0", "output", slice(3, 9)),
    },
    "DeepseekV3": {
        "layer.1.mlp": ("model.layers.0.mlp", "output", ALL),
        "layer.2.mlp": ("model.layers.1.mlp", "output", ALL),
        "layer.2.head.1": ("model.layers.1.self_attn.o_proj", "input", slice(8, 16)),
    },
    "Mamba": {
        "layer.0": ("backbone.layers.0", "input", ALL),
        "layer.2": ("backbone.layers.1", "output", ALL),
        "backbone.layers.1.mixer.out_proj:input": ("backbone.layers.1.mixer.out_proj", "input", ALL),
    },
    "Falcon": {
        "layer.2.mlp": ("transformer.h.1.mlp", "output", ALL),
        "layer.2.attention": ("transformer.h.1.self_attention", "output", ALL),
        "layer.2.head.2": ("transformer.h.1.self_attention.dense", "input", slice(16, 24)),
    },
    "Bloom": {
        "layer.2.mlp": ("transformer.h.1.mlp.dense_4h_to_h", "output", ALL),
        "layer.2.attention": ("transformer.h.1.self_attention.dense", "output", ALL),
        "layer.2.head.2": ("transformer.h.1.self_attention.dense", "input", slice(16, 24)),
    },
    "OPT": {
        "layer.2.mlp": ("model.decoder.layers.1.fc2", "output", ALL),  # trials and time are one dimension there
        "layer.2.attention": ("model.decoder.layers.1.self_attn", "output", ALL),
        "layer.2.head.2": ("model.decoder.layers.1.self_attn.out_proj", "input", slice(16, 24)),
    },
}
GEMMA_3N = GROUPED | {
    "num_hidden_layers": 4,
    "head_dim": 8,
    "vocab_size_per_layer_input": 60,
    "hidden_size_per_layer_input": 8,
    "altup_num_inputs": 4,
    "laurel_rank": 8,
    "num_kv_shared_layers": 2,
    "sliding_window": 5,
    "layer_types": ["sliding_attention", "full_attention"] * 2,
    "activation_sparsity_pattern": [0.5, 0.0, 0.0, 0.0],
}


def edited_logits(model: nn.Module, where: Where, tokens: Tensor, edit: Callable[[Tensor], None]) -> Tensor:
    """The logits of one row in a run in which a hook edits these coordinates of a state `[..., time, width]`."""
    path, side, part = where

    def changed(value: Tensor) -> Tensor:
        value = value.clone()
        edit(value[..., part])
        return value

    def at_input(_: Any, args: Any, kwargs: Any) -> Any:
        if args:
            return (changed(args[0]), *args[1:]), kwargs
        return args, {**kwargs, "hidden_states": changed(kwargs["hidden_states"])}

    def at_output(_: Any, __: Any, out: Any) -> Any:
        return (changed(out[0]), *out[1:]) if isinstance(out, tuple) else changed(out)

    submodule = model.get_submodule(path)
    hook: Any = (
        submodule.register_forward_pre_hook(at_input, with_kwargs=True)
        if side == "input"
        else submodule.register_forward_hook(at_output)
    )
    with torch.no_grad():
        logits: Tensor = model(tokens[None], use_cache=False).logits[0]
    hook.remove()
    return logits


def require_close(found: Tensor, wanted: Tensor) -> None:
    """Check that tensors differ by at most 1e-5 of their largest number."""
    assert found.shape == wanted.shape
    assert float((found - wanted).abs().max()) <= 1e-5 * max(1.0, float(wanted.abs().max()))


def require_exact(model: Any, at: str, where: Where, streams: int = 1) -> None:
    """Check swaps at random positions of rows of several lengths against one unpadded run for each."""
    site, rng = ca.Site(model, at), np.random.default_rng(0)
    rows = [torch.from_numpy(rng.integers(4, 50, n)) for n in (9, 8, 6, 7, 5)]
    positions = torch.tensor([0, 3, 2, 5, 3])
    tokens = nn.utils.rnn.pad_sequence(rows, batch_first=True)
    remaining = torch.tensor([len(each) for each in rows]) - positions - 1
    rest = torch.stack([row.roll(-1 - int(at)) for row, at in zip(tokens, positions, strict=True)])
    places, continuation = Places(torch.arange(len(rows)), positions), Continuation.pack(rest, remaining)
    own = site.read(tokens)[places.trial, positions]
    states = own + own.std() * torch.randn(own.shape, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        found = site.resume(site.prefix(tokens), places, states, continuation)
    for row, (each, position) in enumerate(zip(rows, positions.tolist(), strict=True)):
        read: list[Tensor] = []

        def edit(value: Tensor, row: int = row, position: int = position, read: list[Tensor] = read) -> None:
            at = value.view(streams, -1, value.shape[-1])[:, position]
            read.append(at.clone().flatten())
            at.copy_(states[row].view(at.shape))

        logits = edited_logits(model, where, each, edit)[position:-1]
        require_close(own[row], read[0])
        require_close(found[continuation.trial == row], logits)
        assert (logits - model(each[None], use_cache=False).logits[0, position:-1]).abs().max() > 1e-2


@pytest.mark.parametrize(("family", "at"), [(family, at) for family, kinds in KINDS.items() for at in kinds])
def test_a_swap_at_a_named_part_is_a_hooked_run_of_the_plain_model(family: str, at: str) -> None:
    require_exact(small(family, FAMILIES[family][1]), at, KINDS[family][at])


@pytest.mark.parametrize(("at", "path"), [("layer.0", "model.layers.0"), ("layer.2", "model.layers.1")])
def test_the_state_of_a_model_with_several_streams_is_all_of_them(at: str, path: str) -> None:
    model = small("Gemma3n", GEMMA_3N, "Gemma3nText")
    assert ca.Site(model, at).width == 4 * 32
    require_exact(model, at, (path, "input" if at == "layer.0" else "output", ALL), streams=4)


ADDING: dict[str, dict[str, Any]] = {
    "Llama": GROUPED,
    "Gemma2": {**GROUPED, "head_dim": 16, "sliding_window": 5},  # what is added is normalised first
    "Olmo2": GROUPED,
    "Bloom": FAMILIES["Bloom"][1],  # its modules return the residual stream
    "Mpt": {"vocab_size": 60, "d_model": 32, "n_layers": 3, "n_heads": 4, "max_seq_len": 64},
    "GPTJ": {"vocab_size": 60, "n_embd": 32, "n_layer": 3, "n_head": 4, "rotary_dim": 4, "n_positions": 64},
    "GPTNeoX": {**HEADS, "intermediate_size": 48},  # attention and MLP are in parallel
    "OPT": FAMILIES["OPT"][1],
}


@pytest.mark.parametrize("family", ADDING)
def test_a_layer_adds_its_attention_and_its_mlp_to_the_residual_stream(family: str) -> None:
    model = small(family, ADDING[family])
    tokens = torch.from_numpy(np.random.default_rng(0).integers(4, 50, (4, 7)))
    before, after, attention, mlp = (
        ca.Site(model, at).read(tokens) for at in ("layer.1", "layer.2", "layer.2.attention", "layer.2.mlp")
    )
    torch.testing.assert_close(after, before + attention + mlp, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("family", ["Llama", "GPT2"])
def test_the_heads_together_are_what_the_attention_adds(family: str) -> None:
    sizes = GROUPED if family == "Llama" else {"vocab_size": 60, "n_embd": 32, "n_layer": 3, "n_head": 4}
    model = small(family, sizes) if family == "Llama" else gpt2(sizes)
    tokens = torch.from_numpy(np.random.default_rng(0).integers(4, 50, (4, 7)))
    heads = torch.cat([ca.Site(model, f"layer.2.head.{k}").read(tokens) for k in range(4)], dim=2)
    if family == "Llama":
        added = heads @ model.model.layers[1].self_attn.o_proj.weight.T
    else:  # a Conv1D, whose weights are transposed
        added = heads @ model.transformer.h[1].attn.c_proj.weight + model.transformer.h[1].attn.c_proj.bias
    torch.testing.assert_close(added, ca.Site(model, "layer.2.attention").read(tokens), atol=1e-5, rtol=1e-5)


def gpt2(sizes: dict[str, Any]) -> Any:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return transformers.GPT2LMHeadModel(transformers.GPT2Config(**sizes)).eval()


def test_a_head_attends_with_its_own_queries_and_the_keys_of_its_group() -> None:
    """Query heads 2 and 3 share the second key head: without its values, they write nothing, and the others do."""
    model = small("Llama", GROUPED)
    with torch.no_grad():
        model.model.layers[1].self_attn.v_proj.weight[8:] = 0
    tokens = torch.from_numpy(np.random.default_rng(0).integers(4, 50, (4, 7)))
    writes = [
        float(ca.Site(model, "model.layers.1.self_attn.o_proj:input").read(tokens)[..., 8 * k : 8 * k + 8].abs().max())
        for k in range(4)
    ]
    assert [each > 0 for each in writes] == [True, True, False, False]
    assert float(ca.Site(model, "layer.2.head.1").read(tokens).abs().max()) == writes[1]


MISSING = {
    ("Mamba", "layer.2.mlp"): r"MambaForCausalLM has no place layer.2.mlp: backbone.layers.1 has no MLP of its own",
    ("Mamba", "layer.2.head.1"): "has no attention of its own; its parts are norm, mixer",
    (
        "Mixtral",
        "layer.2.heed.1",
    ): r"^unknown site of MixtralForCausalLM 'layer.2.heed.1'; did you mean 'layer.2.head.1'",
    ("Mixtral", "layer.4.mlp"): r"did you mean 'layer.3.mlp'",
    (
        "Mixtral",
        "layer.2.head.1:input",
    ): "layer.2.head.1:input is no place: layer.2.head.1 stands for model.layers.1.self",
}


@pytest.mark.parametrize(("family", "at"), MISSING)
def test_parts_that_a_model_does_not_have_are_refused_with_the_reason(family: str, at: str) -> None:
    with pytest.raises(ca.CausalignError, match=MISSING[family, at]) as refused:
        ca.Site(small(family, FAMILIES[family][1]), at)
    assert "\n" not in str(refused.value)


def test_the_list_of_places_has_the_names_of_parts_and_reasons() -> None:
    listed = ca.sites_of(small("Falcon", FAMILIES["Falcon"][1])).set_index("at")
    lines = listed.to_dict("index")
    head, mlp, path = (lines[at] for at in ("layer.2.head.3", "layer.3.mlp", "transformer.h.2.mlp"))
    assert head["module"] == "transformer.h.1.self_attention.dense:input[24:32]"
    assert (head["width"], head["state"]) == (8, "input")
    assert (mlp["module"], mlp["width"], mlp["state"]) == ("transformer.h.2.mlp", 32, "output")
    assert (path["width"], path["input_width"]) == (32, 32)
    mamba = ca.sites_of(small("Mamba", FAMILIES["Mamba"][1])).set_index("at")
    assert str(mamba.loc["layer.1.head", "state"]).startswith("none: backbone.layers.0 has no attention of its own")
