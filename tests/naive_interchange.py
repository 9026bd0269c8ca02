"""Naive hook-based references for setting a network's state and for free-running generation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn


@torch.no_grad()
def hooked_logits(
    network: nn.Module, submodule: nn.Embedding, tokens: Tensor, position: int, new_state: Tensor
) -> Tensor:
    """Run network(tokens) with the submodule's output at position replaced; return logits [time, vocab]."""
    if not 0 <= position < tokens.shape[1]:
        raise ValueError(f"position {position} is outside the sequence")
    calls: list[int] = []

    def replace(module: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> Tensor:
        calls.append(position)
        changed = output.clone()
        changed[0, position] = new_state
        return changed

    handle = submodule.register_forward_hook(replace)
    try:
        logits = network(tokens)
    finally:
        handle.remove()
    if len(calls) != 1:
        raise RuntimeError(f"the submodule ran {len(calls)} times, expected once")
    return logits[0]


@torch.no_grad()
def hooked_gru_logits(
    network: nn.Module,
    gru: nn.GRU,
    embed: nn.Embedding,
    readout: nn.Module,
    tokens: Tensor,
    position: int,
    new_state: Tensor,
) -> Tensor:
    """Step the GRU token by token, its state after position replaced; return logits [time, vocab]."""
    for part in (gru, embed, readout):
        if not any(part is module for module in network.modules()):
            raise ValueError("gru, embed and readout must be parts of the network")
    if not 0 <= position < tokens.shape[1]:
        raise ValueError(f"position {position} is outside the sequence")
    width = gru.hidden_size
    calls: list[int] = []

    def replace(module: nn.Module, inputs: tuple[Any, ...], result: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        calls.append(len(calls))
        if calls[-1] != position:
            return result
        output, _ = result
        state = new_state.to(output).reshape(1, 1, width)
        return state.clone(), state.clone()

    handle = gru.register_forward_hook(replace)
    rows = []
    try:
        hidden = torch.zeros(1, 1, width).to(embed.weight)
        for t in range(tokens.shape[1]):
            output, hidden = gru(embed(tokens[:, t : t + 1]), hidden)
            rows.append(readout(output)[0, 0])
    finally:
        handle.remove()
    return torch.stack(rows)


@torch.no_grad()
def greedy_gru(
    embed: nn.Embedding,
    gru: nn.GRU,
    readout: nn.Module,
    prefix_hidden: Tensor,
    forced: Sequence[int | None],
    end_id: int,
    limit: int,
) -> list[int]:
    """Generate greedily from a hidden state, feeding the forced tokens where there are any."""
    hidden = prefix_hidden.reshape(1, 1, gru.hidden_size)
    output = hidden
    written: list[int] = []
    for k in range(limit):
        given = forced[k] if k < len(forced) else None
        token = int(readout(output)[0, 0].argmax()) if given is None else given
        written.append(token)
        if token == end_id:
            break
        output, hidden = gru(embed(torch.tensor([[token]], device=hidden.device)), hidden)
    return written


def interchange_rotated(
    target_states: Tensor, source_states: Tensor, target: Tensor, source: Tensor, rank: int
) -> Tensor:
    """The interchange in the aligned space, from whole maps W = a Q (equation 4); the widths may differ.

    h' = W_t^-1 ((1 - D) W_t h_t + D W_s h_s), with D selecting the first `rank` coordinates.
    """
    aligned = target_states @ target.mT
    swapped = torch.cat([(source_states @ source.mT)[:, :rank], aligned[:, rank:]], dim=1)
    return torch.linalg.solve(target, swapped.mT).mT
