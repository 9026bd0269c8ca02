"""A recurrence run on over packed tokens, with a derivative of its own.

Autograd would keep, and read again, every intermediate of every step. Here a step keeps its states and one factor a
gate, and the way back is one product and one matrix multiplication a step.
"""

from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from causalign.sites._base import Continuation
from causalign.sites._cells import Stepper


def run_on(
    stepper: Stepper, state: Float[Tensor, "trials width"], continuation: Continuation
) -> Float[Tensor, "tokens width"]:
    """The states that each token of the continuation is predicted from, the first of them `state`."""
    return _RunOn.apply(state, stepper, continuation)  # type: ignore[no-untyped-call]


class _RunOn(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, state: Tensor, stepper: Stepper, continuation: Continuation) -> Tensor:
        running = continuation.running
        states = state.new_empty(len(continuation.tokens), state.shape[1])
        steps = states.split(running)
        steps[0].copy_(state)
        keep = ctx.needs_input_grad[0]
        factors = [
            stepper.advance(tokens[: len(after)], before[: len(after)], after, keep)
            for tokens, (before, after) in zip(continuation.tokens.split(running), pairwise(steps), strict=False)
        ]
        ctx.stepper, ctx.running, ctx.factors = stepper, running, factors
        return states

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        steps = gradient.split(ctx.running)
        after = steps[-1]
        for of_step, factors in zip(reversed(steps[:-1]), reversed(ctx.factors), strict=True):
            before = of_step.clone()
            ctx.stepper.retreat(after, factors, before[: len(after)])
            after = before
        return after, None, None
