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
    """The logits `[time, vocabulary]` of one input, its state at one position given part of another."""

    def swap(_: Any, __: Any, out: Any) -> Any:
        changed = _tensor(out).clone()
        changed[0, position] += projector @ (state - changed[0, position])
        return (changed, *out[1:]) if isinstance(out, tuple) else changed

    hook = module.get_submodule(path).register_forward_hook(swap)
    logits = plain_logits(module, tokens)
    hook.remove()
    return logits


@torch.no_grad()
def plain_logits(module: nn.Module, tokens: list[int]) -> Tensor:
    """The logits `[time, vocabulary]` of one input."""
    out = module(torch.tensor([tokens]))
    logits: Tensor = getattr(out, "logits", out)
    return logits[0]


def _tensor(out: Any) -> Tensor:
    tensor: Tensor = out[0] if isinstance(out, tuple) else out
    return tensor
