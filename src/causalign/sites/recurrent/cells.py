"""Recurrent cells taken apart, so that what depends on tokens alone is computed once for each token.

Each has its step twice: `step` is its definition, which autograd differentiates, and `advance` and `retreat` are the
same forwards and backwards in few passes over memory.
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
    """A one-layer recurrence as a step from input gates and the state before to the state after."""

    def __init__(self, module: nn.RNNBase, width: int) -> None:
        self.width = width
        """Of all that the recurrence carries."""
        self.hidden = module.hidden_size
        self._weights = dict(module.named_parameters())

    def gates(self, embedded: Float[Tensor, "*rows embedding"]) -> Float[Tensor, "*rows gates"]:
        """What an embedded token adds to the gates, W_ih x + b_ih."""
        return functional.linear(embedded, self._weights["weight_ih_l0"], self._weights["bias_ih_l0"])

    def _recurrent(self, hidden: Float[Tensor, "trials hidden"]) -> Float[Tensor, "trials gates"]:
        return functional.linear(hidden, self._weights["weight_hh_l0"], self._weights["bias_hh_l0"])

    @abstractmethod
    def step(
        self, gates: Float[Tensor, "trials gates"], state: Float[Tensor, "trials width"]
    ) -> Float[Tensor, "trials width"]:
        """The state after a token."""

    @abstractmethod
    def stepper(self, embedding: Float[Tensor, "vocabulary embedding"]) -> "Stepper":
        """The same step for tokens of a vocabulary."""

    def output(self, state: Float[Tensor, "*rows width"]) -> Float[Tensor, "*rows hidden"]:
        """The part of the state that the network reads out."""
        return state[..., : self.hidden]


class Stepper(ABC):
    """A cell's step with a derivative of its own: what `retreat` needs of it is kept as factors, one a gate.

    tanh(x) is 2 sigmoid(2 x) - 1, which is several times faster: the 2 is in the weights of the new state's gate, which
    is the third of either cell.
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
        """Write the state after the tokens to `after`; with `keep`, give the factors of its derivative."""

    @abstractmethod
    def retreat(
        self,
        after: Float[Tensor, "trials width"],
        factors: Float[Tensor, "trials factors hidden"],
        before: Float[Tensor, "trials width"],
    ) -> None:
        """Add to the gradient `before` what the gradient `after` the step makes of it."""


class GRUCell(Cell):
    """The state is the hidden vector."""

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
    """The gates stand as reset, update, new."""

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
        inner = torch.rsub(update, 0.5, alpha=0.5)  # half, because the weights it will meet are doubled
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
    """The state is `[h ; c]`: the hidden vector and the cell's."""

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
    """The gates stand as enter, forget, new, leave."""

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
        _tanh_backward(enter, new, grad_input=of_new).mul_(0.5)  # the weights it will meet are doubled
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
