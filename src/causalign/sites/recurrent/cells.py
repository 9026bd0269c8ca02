"""Recurrent cells whose input gates are separate from the recurrence.

The input gates depend on the token alone, so that they are computed once for each token of the vocabulary. Each cell
has two implementations of its step. `Cell.step` is the definition, which autograd differentiates. `Stepper.advance` and
`Stepper.retreat` are the same step and its derivative in few passes over memory.
"""

from abc import ABC, abstractmethod

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional
from typing_extensions import override

_sigmoid_backward = torch.ops.aten.sigmoid_backward.grad_input
_tanh_backward = torch.ops.aten.tanh_backward.grad_input


class Cell(ABC):
    """A one-layer recurrence: a step from the input gates and the state before a token to the state after it."""

    def __init__(self, module: nn.RNNBase, width: int) -> None:
        self.width = width
        """The width of the state: everything that the recurrence carries."""
        self.hidden = module.hidden_size
        self._weights = dict(module.named_parameters())

    def gates(self, embedded: Float[Tensor, "*rows embedding"]) -> Float[Tensor, "*rows gates"]:
        """Return the input part of the gates, W_ih x + b_ih, for embedded tokens x."""
        return functional.linear(embedded, self._weights["weight_ih_l0"], self._weights["bias_ih_l0"])

    def _recurrent(self, hidden: Float[Tensor, "trials hidden"]) -> Float[Tensor, "trials gates"]:
        return functional.linear(hidden, self._weights["weight_hh_l0"], self._weights["bias_hh_l0"])

    @abstractmethod
    def step(
        self, gates: Float[Tensor, "trials gates"], state: Float[Tensor, "trials width"]
    ) -> Float[Tensor, "trials width"]:
        """Return the state after a token, from its input gates and the state before it."""

    @abstractmethod
    def stepper(self, embedding: Float[Tensor, "vocabulary embedding"]) -> "Stepper":
        """Return the same step with a derivative of its own, for the tokens of an embedding."""

    def output(self, state: Float[Tensor, "*rows width"]) -> Float[Tensor, "*rows hidden"]:
        """Return the part of the state that the network reads out: the hidden vector."""
        return state[..., : self.hidden]


class Stepper(ABC):
    """A cell's step with a derivative of its own. `advance` keeps the factors that `retreat` needs, one for each gate.

    tanh(x) is computed as 2 sigmoid(2 x) - 1, which is several times faster. The inner 2 is folded into the weights of
    the gate of the new state, the third gate of both cells.
    """

    def __init__(
        self,
        gates: Float[Tensor, "vocabulary gates"],
        weight: Float[Tensor, "gates hidden"],
        bias: Float[Tensor, " gates"],
    ) -> None:
        h = self._hidden = weight.shape[1]
        doubled = torch.ones_like(bias)
        doubled[2 * h : 3 * h] = 2
        self._weight = weight.detach() * doubled[:, None]
        self._gates, self._bias = gates.detach() * doubled, bias.detach() * doubled

    @abstractmethod
    def advance(
        self,
        tokens: Int[Tensor, " trials"],
        before: Float[Tensor, "trials width"],
        after: Float[Tensor, "trials width"],
        keep: bool,
    ) -> Float[Tensor, "trials factors hidden"] | None:
        """Write the state after the tokens to `after`.

        Args:
            tokens: The index of each row's token in the embedding.
            before: The state before the tokens.
            after: The tensor that is overwritten with the state after the tokens.
            keep: Whether the derivative will be needed.

        Returns:
            The factors of the derivative, or `None` without `keep`.
        """

    @abstractmethod
    def retreat(
        self,
        after: Float[Tensor, "trials width"],
        factors: Float[Tensor, "trials factors hidden"],
        before: Float[Tensor, "trials width"],
    ) -> None:
        """Propagate a gradient back through the step.

        Args:
            after: The gradient of the state after the step.
            factors: The factors that `advance` returned.
            before: The gradient of the state before the step. The propagated gradient is added to it in place.
        """


class GRUCell(Cell):
    """A GRU cell. Its state is the hidden vector."""

    def __init__(self, module: nn.GRU) -> None:
        super().__init__(module, module.hidden_size)

    @override
    def step(
        self, gates: Float[Tensor, "trials gates"], state: Float[Tensor, "trials width"]
    ) -> Float[Tensor, "trials width"]:
        reset, update, new = gates.chunk(3, dim=1)
        h_reset, h_update, h_new = self._recurrent(state).chunk(3, dim=1)
        reset = torch.sigmoid(reset + h_reset)
        update = torch.sigmoid(update + h_update)
        return torch.lerp(torch.tanh(torch.addcmul(new, reset, h_new)), state, update)

    @override
    def stepper(self, embedding: Float[Tensor, "vocabulary embedding"]) -> "Stepper":
        return _GRUStepper(self.gates(embedding), self._weights["weight_hh_l0"], self._weights["bias_hh_l0"])


class _GRUStepper(Stepper):
    """The step of a GRU. The order of its gates is reset, update, new."""

    def __init__(
        self,
        gates: Float[Tensor, "vocabulary gates"],
        weight: Float[Tensor, "gates hidden"],
        bias: Float[Tensor, " gates"],
    ) -> None:
        super().__init__(gates, weight, bias)
        h, gates, bias = self._hidden, self._gates, self._bias
        self._given = torch.cat([gates[:, : 2 * h] + bias[: 2 * h], bias[2 * h :].expand(len(gates), -1)], dim=1)
        self._new = gates[:, 2 * h :].contiguous()

    @override
    def advance(
        self,
        tokens: Int[Tensor, " trials"],
        before: Float[Tensor, "trials width"],
        after: Float[Tensor, "trials width"],
        keep: bool,
    ) -> Float[Tensor, "trials factors hidden"] | None:
        h = self._hidden
        gates = self._given.index_select(0, tokens).addmm_(before, self._weight.mT)
        gates[:, : 2 * h].sigmoid_()
        reset, update, twice_recurrent = gates.split(h, dim=1)
        new = self._new.index_select(0, tokens).addcmul_(reset, twice_recurrent).sigmoid_().mul_(2).sub_(1)
        torch.lerp(new, before, update, out=after)
        if not keep:
            return None
        factors = gates.new_empty(len(gates), 4, h)
        of_reset, of_update, of_new, straight = factors.unbind(1)
        _sigmoid_backward(before - new, update, grad_input=of_update)
        inner = torch.rsub(update, 0.5, alpha=0.5)  # half, because the weights are doubled
        _tanh_backward(inner, new, grad_input=inner)
        torch.mul(inner, reset, out=of_new)
        _sigmoid_backward(inner.mul_(twice_recurrent), reset, grad_input=of_reset)
        straight.copy_(update)
        return factors

    @override
    def retreat(
        self,
        after: Float[Tensor, "trials width"],
        factors: Float[Tensor, "trials factors hidden"],
        before: Float[Tensor, "trials width"],
    ) -> None:
        gates = (factors[:, :3] * after[:, None]).flatten(1)
        before.addcmul_(after, factors[:, 3]).addmm_(gates, self._weight)


class LSTMCell(Cell):
    """An LSTM cell. Its state is `[h ; c]`: the hidden vector and the cell vector."""

    def __init__(self, module: nn.LSTM) -> None:
        super().__init__(module, 2 * module.hidden_size)

    @override
    def step(
        self, gates: Float[Tensor, "trials gates"], state: Float[Tensor, "trials width"]
    ) -> Float[Tensor, "trials width"]:
        hidden, kept = state.chunk(2, dim=1)
        enter, forget, new, leave = (gates + self._recurrent(hidden)).chunk(4, dim=1)
        kept = torch.addcmul(torch.sigmoid(forget) * kept, torch.sigmoid(enter), torch.tanh(new))
        return torch.cat([torch.sigmoid(leave) * torch.tanh(kept), kept], dim=1)

    @override
    def stepper(self, embedding: Float[Tensor, "vocabulary embedding"]) -> "Stepper":
        return _LSTMStepper(self.gates(embedding), self._weights["weight_hh_l0"], self._weights["bias_hh_l0"])


class _LSTMStepper(Stepper):
    """The step of an LSTM. The order of its gates is enter (input), forget, new, leave (output)."""

    def __init__(
        self,
        gates: Float[Tensor, "vocabulary gates"],
        weight: Float[Tensor, "gates hidden"],
        bias: Float[Tensor, " gates"],
    ) -> None:
        super().__init__(gates, weight, bias)
        self._given = self._gates + self._bias

    @override
    def advance(
        self,
        tokens: Int[Tensor, " trials"],
        before: Float[Tensor, "trials width"],
        after: Float[Tensor, "trials width"],
        keep: bool,
    ) -> Float[Tensor, "trials factors hidden"] | None:
        h = self._hidden
        gates = self._given.index_select(0, tokens).addmm_(before[:, :h], self._weight.mT).sigmoid_()
        enter, forget, new, leave = gates.split(h, dim=1)
        new.mul_(2).sub_(1)
        hidden, kept = after.split(h, dim=1)
        torch.mul(forget, before[:, h:], out=kept).addcmul_(enter, new)
        squashed = kept.mul(2).sigmoid_().mul_(2).sub_(1)
        torch.mul(leave, squashed, out=hidden)
        if not keep:
            return None
        factors = gates.new_empty(len(gates), 6, h)
        of_enter, of_forget, of_new, of_leave, straight, through = factors.unbind(1)
        _sigmoid_backward(new, enter, grad_input=of_enter)
        _sigmoid_backward(before[:, h:], forget, grad_input=of_forget)
        _tanh_backward(enter, new, grad_input=of_new).mul_(0.5)  # half, because the weights are doubled
        _sigmoid_backward(squashed, leave, grad_input=of_leave)
        straight.copy_(forget)
        _tanh_backward(leave, squashed, grad_input=through)
        return factors

    @override
    def retreat(
        self,
        after: Float[Tensor, "trials width"],
        factors: Float[Tensor, "trials factors hidden"],
        before: Float[Tensor, "trials width"],
    ) -> None:
        h = self._hidden
        kept = torch.addcmul(after[:, h:], after[:, :h], factors[:, 5])
        gates = after.new_empty(len(after), 4, h)
        torch.mul(factors[:, :3], kept[:, None], out=gates[:, :3])
        torch.mul(factors[:, 3], after[:, :h], out=gates[:, 3])
        before[:, h:].addcmul_(kept, factors[:, 4])
        before[:, :h].addmm_(gates.flatten(1), self._weight)
