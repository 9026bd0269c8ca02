"""Predictions read out a few tokens at a time.

Logits, and the intermediate results of a readout, are the widest tensors of a run. The logits of all tokens would take
gigabytes. Even where they fit, smaller chunks are faster, because they stay in the cache.
"""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

_BLOCK = 16  # chunks are padded to whole blocks, as some libraries compile a kernel for every new shape
_NOTHING = -100

ReadOut = Callable[[Float[Tensor, "tokens features"]], Float[Tensor, "tokens vocabulary"]]


def next_token_loss(
    read_out: ReadOut, features: Float[Tensor, "tokens features"], tokens: Int[Tensor, "tokens ..."], known: int
) -> Float[Tensor, ""]:
    """Return the cross-entropy of the expected tokens, summed over all positions, in nats.

    The gradient is computed during the forward pass, while the logits are in memory.

    Args:
        read_out: The readout from features to logits.
        features: The features from which each token is predicted.
        tokens: The expected ids, `[tokens]`; or `[tokens, allowed]`, several correct ids for each position, whose total
            probability counts. Entries of -100 are ignored.
        known: The number of logits.
    """
    return _NextTokenLoss.apply(features, read_out, tokens, known)  # type: ignore[no-untyped-call]


@torch.no_grad()
def predictions(read_out: ReadOut, features: Float[Tensor, "tokens features"], known: int) -> Int[Tensor, " tokens"]:
    """Return the most likely of the `known` token ids at each position."""
    return torch.cat([read_out(chunk).argmax(-1) for chunk in features.split(rows_at_once(features, known))])


def rows_at_once(features: Tensor, known: int) -> int:
    """Return the number of tokens to read out at a time.

    Their logits fit into a CPU's cache or occupy a GPU, within a bound on memory.
    """
    most, of_logits = (1024, 2**26) if features.device.type == "cpu" else (8192, 2**29)
    return max(_BLOCK, min(most, of_logits // (4 * known) // _BLOCK * _BLOCK))


def _cross_entropy(logits: Float[Tensor, "tokens vocabulary"], wanted: Int[Tensor, "tokens ..."]) -> Float[Tensor, ""]:
    """Return -log p(any correct id), summed over the positions that have one."""
    if wanted.dim() == 1:
        return functional.cross_entropy(logits, wanted, reduction="sum", ignore_index=_NOTHING)
    scored = wanted[:, 0] >= 0
    logits, wanted = logits[scored], wanted[scored]
    allowed = logits.gather(1, wanted.clamp(min=0)).masked_fill(wanted < 0, -torch.inf)
    return (logits.logsumexp(1) - allowed.logsumexp(1)).sum()


class _NextTokenLoss(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, features: Tensor, read_out: ReadOut, tokens: Tensor, known: int) -> Tensor:
        differentiate = ctx.needs_input_grad[0]
        losses: list[Tensor] = []
        gradients: list[Tensor] = []
        rows = rows_at_once(features, known)
        for chunk, expected in zip(features.split(rows), tokens.split(rows), strict=True):
            missing = -len(chunk) % _BLOCK
            with torch.set_grad_enabled(differentiate):
                padded = functional.pad(chunk.detach(), (0, 0, 0, missing)).requires_grad_(differentiate)
                wanted = functional.pad(expected, (0, 0) * (expected.dim() - 1) + (0, missing), value=_NOTHING)
                loss = _cross_entropy(read_out(padded).float(), wanted)
            losses.append(loss.detach())
            if differentiate:
                (gradient,) = torch.autograd.grad(loss, [padded])
                gradients.append(gradient[: len(chunk)])
        ctx.gradient = torch.cat(gradients) if differentiate else None
        return torch.stack(losses).sum()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        return ctx.gradient * gradient, None, None, None
