"""A swap as a user would write it by hand: hooks on the plain module, one unpadded row at a time."""

from typing import Any

import torch
from torch import Tensor, nn


def state_at(module: nn.Module, path: str, tokens: list[int], position: int) -> Tensor:
    """The output of a submodule at one position of one input."""
    states: list[Tensor] = []
    hook = module.get_submodule(path).register_forward_hook(lambda _, __, out: states.append(_tensor(out)))
    module(torch.tensor([tokens]))
    hook.remove()
    return states[0][0, position].detach()


def swapped_logits(
    module: nn.Module, path: str, tokens: list[int], position: int, state: Tensor, projector: Tensor
) -> Tensor:
    """The logits `[time, vocabulary]` of one input, its state at one position given part of another.

    The state of a recurrence is what it carries on: it is run up to the swap, and on from there.
    """
    if isinstance(module.get_submodule(path), nn.GRU):
        return _recurrent_logits(module, tokens, position % len(tokens), state, projector)

    def swap(_: Any, __: Any, out: Any) -> Any:
        changed = _tensor(out).clone()
        changed[0, position] += projector @ (state - changed[0, position])
        return (changed, *out[1:]) if isinstance(out, tuple) else changed

    hook = module.get_submodule(path).register_forward_hook(swap)
    logits = plain_logits(module, tokens)
    hook.remove()
    return logits


@torch.no_grad()
def _recurrent_logits(module: Any, tokens: list[int], position: int, state: Tensor, projector: Tensor) -> Tensor:
    embedded = module.embedding(torch.tensor([tokens]))
    outputs, hidden = module.rnn(embedded[:, : position + 1])
    hidden = hidden + (projector @ (state - hidden[0, 0]))[None, None]
    parts = [outputs[:, :position], hidden]
    if position + 1 < len(tokens):
        parts.append(module.rnn(embedded[:, position + 1 :], hidden)[0])
    logits: Tensor = module.head(torch.cat(parts, dim=1))
    return logits[0]


@torch.no_grad()
def plain_logits(module: nn.Module, tokens: list[int]) -> Tensor:
    """The logits `[time, vocabulary]` of one input."""
    out = module(torch.tensor([tokens]))
    logits: Tensor = getattr(out, "logits", out)
    return logits[0]


def _tensor(out: Any) -> Tensor:
    tensor: Tensor = out[0] if isinstance(out, tuple) else out
    return tensor
