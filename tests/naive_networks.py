"""Naive references: a rotary transformer, hooked networks, stepwise pairs, swaps, a latent loss and CKA."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, TypedDict

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn


class NaiveRun(TypedDict):
    """What the naive transformer computed: logits [time, vocab], and residuals [time, width] by site."""

    logits: Tensor
    residuals: list[Tensor]


def _rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """RMSNorm of one vector."""
    return x / torch.sqrt((x * x).mean() + eps) * weight


def _gelu(x: Tensor) -> Tensor:
    """Exact GELU."""
    return 0.5 * x * (1.0 + torch.erf(x / math.sqrt(2.0)))


def _rotate(x: Tensor, position: int, base: float) -> Tensor:
    """Rotate each pair (x[i], x[i + d/2]) of one head's vector by position * base^(-2 i / d)."""
    d = x.shape[0]
    if d % 2:
        raise ValueError(f"the head width {d} is odd")
    half = d // 2
    rotated = torch.empty_like(x)
    for i in range(half):
        angle = position * base ** (-2.0 * i / d)
        cos, sin = math.cos(angle), math.sin(angle)
        rotated[i] = x[i] * cos - x[i + half] * sin
        rotated[i + half] = x[i] * sin + x[i + half] * cos
    return rotated


def _attention(weights: Mapping[str, Tensor], name: str, normed: list[Tensor], heads: int, base: float) -> list[Tensor]:
    """Causal rotary attention over a list of vectors, one query and one head at a time."""
    width = normed[0].shape[0]
    if width % heads:
        raise ValueError(f"the width {width} is no multiple of {heads} heads")
    d = width // heads
    queries = [weights[f"{name}.query.weight"] @ x for x in normed]
    keys = [weights[f"{name}.key.weight"] @ x for x in normed]
    values = [weights[f"{name}.value.weight"] @ x for x in normed]
    mixed = [torch.zeros_like(x) for x in normed]
    for head in range(heads):
        start, stop = head * d, (head + 1) * d
        head_queries = [_rotate(queries[p][start:stop], p, base) for p in range(len(normed))]
        head_keys = [_rotate(keys[p][start:stop], p, base) for p in range(len(normed))]
        for p in range(len(normed)):
            scores = [(head_queries[p] * head_keys[k]).sum() / math.sqrt(d) for k in range(p + 1)]
            largest = max(float(score) for score in scores)
            raised = [torch.exp(score - largest) for score in scores]
            total = torch.stack(raised).sum()
            for k in range(p + 1):
                mixed[p][start:stop] += raised[k] / total * values[k][start:stop]
    return [weights[f"{name}.out.weight"] @ x for x in mixed]


@torch.no_grad()
def naive_transformer(
    weights: Mapping[str, Tensor],
    tokens: Tensor,
    heads: int = 1,
    layers: int = 2,
    base: float = 10000.0,
    eps: float | None = None,
    replace: dict[tuple[int, int], Tensor] | None = None,
) -> NaiveRun:
    """Run a rotary transformer from its state dict on tokens [1, time].

    replace maps (site, position) to a new state [width]: site 0 is the embedding, site l the residual after layer l
    (counted from 1). The residuals returned are those after replacement.
    """
    if tokens.shape[0] != 1:
        raise ValueError(f"expected one sequence, got {tokens.shape[0]}")
    time = tokens.shape[1]
    new_states = {} if replace is None else replace
    for site, position in new_states:
        if not (0 <= site <= layers and 0 <= position < time):
            raise ValueError(f"there is no site {site} at position {position}")
    embedding = weights["embedding.weight"]
    small = torch.finfo(embedding.dtype).eps if eps is None else eps

    def put(site: int, states: list[Tensor]) -> list[Tensor]:
        return [new_states[site, p].to(states[p]) if (site, p) in new_states else states[p] for p in range(time)]

    stream = put(0, [embedding[int(tokens[0, p])] for p in range(time)])
    residuals = [torch.stack(stream)]
    for layer in range(layers):
        name = f"layers.{layer}"
        normed = [_rms_norm(x, weights[f"{name}.attention_norm.weight"], small) for x in stream]
        attended = _attention(weights, f"{name}.attention", normed, heads, base)
        after = []
        for p in range(time):
            x = stream[p] + attended[p]
            inner = _rms_norm(x, weights[f"{name}.mlp_norm.weight"], small)
            inner = _gelu(weights[f"{name}.mlp.0.weight"] @ inner + weights[f"{name}.mlp.0.bias"])
            after.append(x + weights[f"{name}.mlp.2.weight"] @ inner + weights[f"{name}.mlp.2.bias"])
        stream = put(layer + 1, after)
        residuals.append(torch.stack(stream))
    rows = []
    for p in range(time):
        x = _rms_norm(stream[p], weights["norm.weight"], small)
        x = _gelu(weights["readout.0.weight"] @ x + weights["readout.0.bias"])
        rows.append(weights["readout.3.weight"] @ x + weights["readout.3.bias"])
    return {"logits": torch.stack(rows), "residuals": residuals}


@torch.no_grad()
def hooked_steps_logits(network: nn.Module, submodule: nn.Module, tokens: Tensor, states: Tensor) -> Tensor:
    """Run network(tokens) with the submodule's output at positions 0..steps-1 replaced; return [time, vocab]."""
    steps = states.shape[0]
    if steps > tokens.shape[1]:
        raise ValueError(f"{steps} states are more than the sequence has positions")
    calls: list[int] = []

    def replace(_module: nn.Module, _inputs: tuple[Any, ...], output: Any) -> Any:
        calls.append(steps)
        changed = (output[0] if isinstance(output, tuple) else output).clone()
        if tuple(changed.shape) != (1, tokens.shape[1], states.shape[1]):
            raise ValueError(f"the submodule's output has the shape {tuple(changed.shape)}")
        for p in range(steps):
            changed[0, p] = states[p]
        return (changed, *output[1:]) if isinstance(output, tuple) else changed

    handle = submodule.register_forward_hook(replace)
    try:
        logits = network(tokens)
    finally:
        handle.remove()
    if len(calls) != 1:
        raise RuntimeError(f"the submodule ran {len(calls)} times, expected once")
    result: Tensor = logits[0]
    return result


@torch.no_grad()
def hooked_lstm_logits(
    network: nn.Module,
    lstm: nn.LSTM,
    embed: nn.Module,
    readout: nn.Module,
    tokens: Tensor,
    position: int,
    new_state: Tensor,
) -> Tensor:
    """Step the LSTM token by token, its [h ; c] after position replaced; return logits [time, vocab]."""
    for part in (lstm, embed, readout):
        if not any(part is module for module in network.modules()):
            raise ValueError("lstm, embed and readout must be parts of the network")
    if not 0 <= position < tokens.shape[1]:
        raise ValueError(f"position {position} is outside the sequence")
    if lstm.num_layers != 1 or lstm.bidirectional or lstm.proj_size:
        raise ValueError("expected a plain LSTM of one layer")
    width = lstm.hidden_size
    if tuple(new_state.shape) != (2 * width,):
        raise ValueError(f"the new state has the shape {tuple(new_state.shape)}, expected {(2 * width,)}")
    calls: list[int] = []

    def replace(_module: nn.Module, _inputs: tuple[Any, ...], result: Any) -> Any:
        calls.append(len(calls))
        if calls[-1] != position:
            return result
        state = new_state.to(result[0])
        h = state[:width].reshape(1, 1, width)
        c = state[width:].reshape(1, 1, width)
        return h.clone(), (h.clone(), c.clone())

    handle = lstm.register_forward_hook(replace)
    rows = []
    try:
        hidden = torch.zeros(1, 1, width).to(next(lstm.parameters()))
        cell = torch.zeros(1, 1, width).to(next(lstm.parameters()))
        for t in range(tokens.shape[1]):
            _, (hidden, cell) = lstm(embed(tokens[:, t : t + 1]), (hidden, cell))
            rows.append(readout(hidden)[0, 0])
    finally:
        handle.remove()
    return torch.stack(rows)


def stepwise_pair(source_tokens: list[str], source_position: int, target_tokens: list[str], filler: str) -> list[str]:
    """The target's tokens at positions 0..source_position, without pads and final "E", then the filler."""
    if not 0 <= source_position < len(source_tokens):
        raise ValueError(f"position {source_position} is outside the source")
    own = [token for token in target_tokens if token != "P"]
    if own and own[-1] == "E":
        own = own[:-1]
    return [own[p] if p < len(own) else filler for p in range(source_position + 1)]


def _complete(frame: Tensor) -> Tensor:
    """A full orthonormal matrix whose first rows are the frame's columns, by Gram-Schmidt against unit vectors."""
    width, rank = frame.shape
    rows = [frame[:, j] for j in range(rank)]
    for i in range(rank):
        for j in range(rank):
            if abs(float(rows[i] @ rows[j]) - float(i == j)) > 1e-4:
                raise ValueError("the frame's columns are not orthonormal")
    while len(rows) < width:
        left = []
        for k in range(width):
            unit = torch.zeros(width, dtype=torch.float64)
            unit[k] = 1.0
            for _ in range(2):  # a second pass removes what rounding left
                for row in rows:
                    unit = unit - (row @ unit) * row
            left.append(unit)
        best = max(left, key=lambda vector: float(vector.norm()))
        rows.append(best / best.norm())
    return torch.stack(rows)


@torch.no_grad()
def gram_schmidt_swap(
    target_state: Tensor,
    source_state: Tensor,
    v_t: Tensor,
    v_s: Tensor,
    scale_t: float | Tensor,
    scale_s: float | Tensor,
) -> Tensor:
    """The swapped state W_t^-1((1-D) W_t h_t + D W_s h_s) in float64, W = scale Q, Q's first rows the frame."""
    if v_t.shape != v_s.shape:
        raise ValueError(f"the frames have the shapes {tuple(v_t.shape)} and {tuple(v_s.shape)}")
    width, rank = v_t.shape
    h_t = target_state.detach().cpu().double()
    h_s = source_state.detach().cpu().double()
    w_t = float(scale_t) * _complete(v_t.detach().cpu().double())
    w_s = float(scale_s) * _complete(v_s.detach().cpu().double())
    chosen = torch.zeros(width, width, dtype=torch.float64)
    for i in range(rank):
        chosen[i, i] = 1.0
    identity = torch.eye(width, dtype=torch.float64)
    swapped: Tensor = torch.linalg.inv(w_t) @ ((identity - chosen) @ w_t @ h_t + chosen @ w_s @ h_s)
    return swapped


def latent_loss(latents: Tensor, swapped: Tensor) -> float:
    """Mean over rows of half the mean squared difference plus half of one minus the cosine."""
    if latents.shape != swapped.shape:
        raise ValueError(f"the shapes {tuple(latents.shape)} and {tuple(swapped.shape)} differ")
    total = 0.0
    for latent, swap in zip(latents.tolist(), swapped.tolist(), strict=True):
        squares = dot = latent_norm = swap_norm = 0.0
        for a, b in zip(latent, swap, strict=True):
            squares += (a - b) ** 2
            dot += a * b
            latent_norm += a * a
            swap_norm += b * b
        cosine = dot / (math.sqrt(latent_norm) * math.sqrt(swap_norm))
        total += 0.5 * squares / len(latent) + 0.5 * (1.0 - cosine)
    return total / latents.shape[0]


def _rows(x: Tensor | NDArray[Any]) -> list[list[float]]:
    """The rows as lists of floats."""
    return [[float(value) for value in row] for row in x.tolist()]


def _gram(x: Tensor | NDArray[Any]) -> NDArray[np.float64]:
    """X X^T with a zero diagonal."""
    rows = _rows(x)
    gram = np.zeros((len(rows), len(rows)))
    for i in range(len(rows)):
        for j in range(len(rows)):
            if i != j:
                gram[i, j] = math.fsum(a * b for a, b in zip(rows[i], rows[j], strict=True))
    return gram


def _hsic1(k: NDArray[np.float64], m: NDArray[np.float64]) -> float:
    """Song et al.'s unbiased HSIC of two kernels with zero diagonals."""
    n = k.shape[0]
    ones = np.ones(n)
    trace = float(np.trace(k @ m))
    sums = float(ones @ k @ ones) * float(ones @ m @ ones) / ((n - 1) * (n - 2))
    cross = 2.0 / (n - 2) * float(ones @ k @ m @ ones)
    return float((trace + sums - cross) / (n * (n - 3)))


def unbiased_hsic_cka(x: Tensor | NDArray[Any], y: Tensor | NDArray[Any]) -> float:
    """Debiased linear CKA of x [n, p] and y [n, q], n at least 4."""
    if x.shape[0] != y.shape[0] or x.shape[0] < 4:
        raise ValueError("expected the same number of rows, at least 4")
    k, m = _gram(x), _gram(y)
    return _hsic1(k, m) / math.sqrt(_hsic1(k, k) * _hsic1(m, m))


def linear_cka(x: Tensor | NDArray[Any], y: Tensor | NDArray[Any]) -> float:
    """Linear CKA of x [n, p] and y [n, q], columns centred."""
    if x.shape[0] != y.shape[0]:
        raise ValueError("expected the same number of rows")
    xs, ys = np.array(_rows(x)), np.array(_rows(y))
    xs = xs - xs.mean(axis=0)
    ys = ys - ys.mean(axis=0)
    cross = float(((ys.T @ xs) ** 2).sum())
    own_x = math.sqrt(float(((xs.T @ xs) ** 2).sum()))
    own_y = math.sqrt(float(((ys.T @ ys) ** 2).sum()))
    return cross / (own_x * own_y)
