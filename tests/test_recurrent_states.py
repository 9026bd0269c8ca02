"""The states that recurrent layers of language models carry, against decoding by hand on the model's own cache."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import causalign as ca
from causalign.sites.base import Continuation, Places, Site
from test_families import SIZES, require_close, small

transformers = pytest.importorskip("transformers")
HYBRID = SIZES | {
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 48,
    "attn_layer_period": 2,
    "attn_layer_offset": 0,
    "expert_layer_period": 8,
    "expert_layer_offset": 4,
    "mamba_d_state": 8,
    "use_mamba_kernels": False,
    "pad_token_id": 0,
}
DELTA = SIZES | {
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "intermediate_size": 48,
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
    "layer_types": ["linear_attention", "linear_attention", "full_attention"],
    "num_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 16,
    "shared_expert_intermediate_size": 16,
}
FAMILIES: dict[str, tuple[dict[str, Any], str, int]] = {
    "Mamba": ({**SIZES, "state_size": 8}, "cache_params", 64 * 8 + 64 * 4),
    "Mamba2": (
        {**SIZES, "state_size": 8, "num_heads": 8, "head_dim": 8, "n_groups": 1, "chunk_size": 4},
        "cache_params",
        8 * 8 * 8 + (64 + 2 * 8) * 4,
    ),
    "FalconMamba": ({**SIZES, "state_size": 8}, "cache_params", 64 * 8 + 64 * 4),
    "Rwkv": ({**SIZES, "attention_hidden_size": 32}, "state", 5 * 32),
    "Jamba": (HYBRID, "past_key_values", 64 * 8 + 64 * 4),
    "Qwen3Next": (DELTA, "past_key_values", 4 * 8 * 8 + (2 * 2 * 8 + 4 * 8) * 4),
}
"""The sizes of each family, the name of its cache, and the width of what a layer carries: state, and last inputs."""
LAYER = 1


def carried(cache: Any) -> list[Tensor]:
    """What layer 1 carries, as tensors that can be written to: the state, and then the last inputs."""
    if isinstance(cache, list):
        return [cache[n][:, :, LAYER] for n in (2, 3, 4, 0, 1)]
    return [cache.layers[LAYER].recurrent_states[0], cache.layers[LAYER].conv_states[0]]


@torch.no_grad()
def decoded(
    family: str, model: Any, tokens: Tensor, position: int, state: Tensor | None = None, by_step: bool = False
) -> tuple[Tensor, Tensor]:
    """The state after one token, and the logits of all tokens, that state overwritten by another.

    As `generate` does, the model reads the tokens up to that one in one call, and all others one by one.
    """
    name = FAMILIES[family][1]
    first = 1 if by_step else position + 1
    out = model(tokens[None, :first], use_cache=True)
    cache, logits, own = getattr(out, name), [out.logits[0]], torch.empty(0)
    for index in range(first - 1, len(tokens)):
        if index >= first:
            logits.append(model(tokens[index].view(1, 1), use_cache=True, **{name: cache}).logits[0])
        if index == position:
            parts = carried(cache)
            own = torch.cat([each.flatten() for each in parts])
            new = (own if state is None else state).split([each.numel() for each in parts])
            for part, each in zip(parts, new, strict=True):
                part.copy_(each.view(part.shape))
    return own, torch.cat(logits)


def swaps(site: Site, size: float = 1.0) -> tuple[list[Tensor], list[int], Any]:
    """Rows of several lengths, the positions of their swaps, and the arguments of a swap for random states."""
    rng = np.random.default_rng(0)
    rows, positions = [torch.from_numpy(rng.integers(4, 50, n)) for n in (9, 8, 6, 7, 5)], [0, 3, 2, 3, 3]
    tokens, at = nn.utils.rnn.pad_sequence(rows, batch_first=True), torch.tensor(positions)
    remaining = torch.tensor([len(each) for each in rows]) - at - 1
    rest = torch.stack([row.roll(-1 - position) for row, position in zip(tokens, positions, strict=True)])
    places = Places(torch.arange(len(rows)), at)
    own = site.read(tokens)[places.trial, at]
    states = own + size * own.std() * torch.randn(own.shape, generator=torch.Generator().manual_seed(1))
    return rows, positions, (site.prefix(tokens), places, states, Continuation.pack(rest, remaining))


@pytest.mark.parametrize("family", FAMILIES)
def test_a_swap_is_decoding_by_hand_with_the_state_overwritten(family: str) -> None:
    sizes, _, width = FAMILIES[family]
    model = small(family, sizes)
    site = ca.Site(model, "layer.2.state")
    assert site.width == width
    rows, positions, (prefix, places, states, continuation) = swaps(site, 0.3 if family == "Rwkv" else 1.0)
    own = site.read(nn.utils.rnn.pad_sequence(rows, batch_first=True))
    with torch.no_grad():
        found = site.resume(prefix, places, states, continuation)
    for row, (tokens, position) in enumerate(zip(rows, positions, strict=True)):
        state, plain = decoded(family, model, tokens, position)
        _, wanted = decoded(family, model, tokens, position, states[row])
        require_close(own[row, position], state)
        require_close(found[continuation.trial == row], wanted[position:-1])
        if len(tokens) > position + 2:  # the state is read with the next token
            assert float((wanted - plain)[position + 1 :].abs().max()) > 1e-2
    stepped = decoded(family, model, rows[1], positions[1], states[1], by_step=True)[1][positions[1] : -1]
    largest = float(stepped.abs().max())  # rounding alone: the kernel of one step is not that of a whole input
    torch.testing.assert_close(found[continuation.trial == 1], stepped, atol=1e-4 * largest, rtol=0)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_gradient_is_the_slope_of_decoding_by_hand(family: str) -> None:
    model = small(family, FAMILIES[family][0])
    site = ca.Site(model, "layer.2.state")
    size = 0.0 if family == "Rwkv" else 0.3  # its state is divided by its denominator, which noise brings near 0
    rows, positions, (prefix, places, states, continuation) = swaps(site, size)
    swapped_in = states.clone().requires_grad_()
    found = site.resume(prefix, places, swapped_in, continuation)
    weights = torch.randn(found.shape, generator=torch.Generator().manual_seed(2))
    (found * weights).sum().backward()
    assert swapped_in.grad is not None
    row = int(swapped_in.grad.norm(dim=1).argmax())
    of_row = weights[continuation.trial == row]
    along = swapped_in.grad[row] / swapped_in.grad[row].norm()

    def loss(state: Tensor) -> float:
        logits = decoded(family, model, rows[row], positions[row], state)[1][positions[row] : -1]
        return float((logits.double() * of_row).sum())

    steps = [each * float(states[row].std()) for each in (1e-1, 1e-2, 1e-3)]
    slopes = [(loss(states[row] + step * along) - loss(states[row] - step * along)) / (2 * step) for step in steps]
    wanted = float(swapped_in.grad[row].norm())
    assert min(abs(slope / wanted - 1) for slope in slopes) < 1e-2, (slopes, wanted)


def test_a_slice_leaves_the_last_inputs_of_the_convolution_as_they_are() -> None:
    model = small("Mamba", FAMILIES["Mamba"][0])
    site = ca.Site(model, "layer.2.state[:512]")
    assert site.width == 512
    rows, positions, (prefix, places, states, continuation) = swaps(site)
    with torch.no_grad():
        found = site.resume(prefix, places, states, continuation)
    for row, (tokens, position) in enumerate(zip(rows, positions, strict=True)):
        own, _ = decoded("Mamba", model, tokens, position)
        _, wanted = decoded("Mamba", model, tokens, position, torch.cat([states[row], own[512:]]))
        require_close(found[continuation.trial == row], wanted[position:-1])


def test_a_search_over_a_carried_state_scores_rows_as_decoding_by_hand() -> None:
    model, rng = small("Mamba", FAMILIES["Mamba"][0]), np.random.default_rng(0)
    site = ca.Site(model, "layer.2.state")
    source, target = ([rng.integers(4, 50, n).tolist() for n in rng.integers(3, 7, 40)] for _ in range(2))
    labels = rng.integers(4, 50, 40).tolist()
    inputs: dict[str, Any] = {
        "source_inputs": source,
        "target_inputs": target,
        "source_positions": -2,
        "target_positions": -2,
    }
    data = ca.Counterfactuals.from_arrays(site, **inputs, labels=labels)
    found = ca.align(data, method="das", rank=3, search=ca.SearchConfig(max_steps=2, eval_every=1, batch_size=8))
    projector = found.maps[0].frame @ found.maps[0].frame.mT
    for line in found.score_rows(data, "probability").to_dict("records"):
        row = line["row"]
        tokens, other = torch.tensor(target[row]), torch.tensor(source[row])
        own, taken = (decoded("Mamba", model, each, len(each) - 2)[0] for each in (tokens, other))
        _, logits = decoded("Mamba", model, tokens, len(tokens) - 2, own + projector @ (taken - own))
        assert line["probability"] == pytest.approx(float(logits[-1].softmax(-1)[labels[row]]), abs=1e-5)


def test_states_are_listed_with_their_widths() -> None:
    listed = ca.sites_of(small("Jamba", HYBRID)).set_index("at")
    line = listed.loc["layer.2.state"]
    assert (line["module"], line["width"], line["state"]) == ("model.layers.1.mamba", FAMILIES["Jamba"][2], "carried")
    assert "layer.1.state" not in listed.index  # an attention carries keys and values


GEMMA = SIZES | {
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 48,
    "lru_width": 32,
    "block_types": ["recurrent", "recurrent", "attention"],
    "attention_window_size": 5,
    "pad_token_id": 0,
}
REFUSED = {
    "kept in the module": (
        "RecurrentGemma",
        GEMMA,
        "layer.1.state",
        r"no place layer.1.state: model.layers.0.temporal_block carries its state .* returns none of cache_params",
    ),
    "an input": ("Mamba", FAMILIES["Mamba"][0], "layer.2.state:input", "what a layer carries has no input"),
    "beyond the state": ("Mamba", FAMILIES["Mamba"][0], "layer.2.state[0:999]", "beyond the state, whose width is 768"),
    "no such layer": ("Mamba", FAMILIES["Mamba"][0], "layer.9.state", "did you mean 'layer.3.state'"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_is_refused_in_one_line(case: str) -> None:
    family, sizes, at, message = REFUSED[case]
    with pytest.raises(ca.CausalignError, match=message) as refused:
        ca.Site(small(family, sizes), at)
    assert "\n" not in str(refused.value)


def test_a_swap_that_no_prediction_can_follow_is_refused_with_the_reason() -> None:
    site, rng = ca.Site(small("Mamba", FAMILIES["Mamba"][0]), "layer.2.state"), np.random.default_rng(0)
    ids = rng.integers(4, 50, (40, 5)).tolist()
    labels = rng.integers(4, 50, 40).tolist()
    data = ca.Counterfactuals.from_arrays(site, source_inputs=ids[::-1], target_inputs=ids, labels=labels)
    with pytest.raises(ca.CausalignError, match=r"no swap at the last token .* such as position -2"):
        ca.align(data, method="das", rank=3, search=ca.SearchConfig(max_steps=1))
