"""A recurrence over packed tokens, with a derivative of its own.

Autograd would keep every intermediate of every step and read it again. Here a step keeps its states and one factor for
each gate, and its backward pass is one product and one matrix multiplication.
"""

from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from causalign.sites.base import Continuation
from causalign.sites.recurrent.cells import Stepper


def run_from(
    stepper: Stepper, state: Float[Tensor, "trials width"], continuation: Continuation
) -> Float[Tensor, "tokens width"]:
    """Run a recurrence on from `state` over the tokens of the continuation.

    Args:
        stepper: The step of the recurrence.
        state: The state of each row, from which the first token of its continuation is predicted.
        continuation: The tokens to read, packed.

    Returns:
        The state from which each token of the continuation is predicted. It is differentiable in `state`.
    """
    return _RunOn.apply(state, stepper, continuation)  # type: ignore[no-untyped-call]


_BLOCK = 16
"""Number of rows in a block. Rows are rounded up to whole blocks, because some libraries compile a kernel for every new
shape."""


def _whole_blocks(rows: int) -> int:
    return -(-rows // _BLOCK) * _BLOCK


class _RunOn(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, state: Tensor, stepper: Stepper, continuation: Continuation) -> Tensor:
        running = continuation.running
        states = state.new_empty(len(continuation.tokens), state.shape[1])
        tokens = functional.pad(continuation.tokens, (0, _BLOCK))  # the rows beyond the trials may read any token
        before = state.new_zeros(_whole_blocks(running[0]), state.shape[1])
        before[: running[0]] = states[: running[0]] = state
        factors, first = [], 0
        for behind, ahead in pairwise(running):
            rows = _whole_blocks(ahead)
            after = torch.empty_like(before[:rows])
            keep = ctx.needs_input_grad[0]
            factors.append(stepper.advance(tokens[first : first + rows], before[:rows], after, keep))
            first += behind
            states[first : first + ahead] = after[:ahead]
            before = after
        ctx.stepper, ctx.running, ctx.factors = stepper, running, factors
        return states

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        *earlier, last = (_padded(of_step) for of_step in gradient.split(ctx.running))
        after = last
        for before, factors in zip(reversed(earlier), reversed(ctx.factors), strict=True):
            ctx.stepper.retreat(after, factors, before[: len(after)])
            after = before
        return after[: ctx.running[0]], None, None


def _padded(of_step: Float[Tensor, "trials width"]) -> Float[Tensor, "rows width"]:
    """Return a copy that is padded with zeros to whole blocks."""
    return functional.pad(of_step, (0, 0, 0, _whole_blocks(len(of_step)) - len(of_step)))
