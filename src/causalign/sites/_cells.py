"""Recurrent cells taken apart, so that what depends on tokens alone is computed once for each token."""

from abc import ABC, abstractmethod

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional
from typing_extensions import override


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

    def output(self, state: Float[Tensor, "*rows width"]) -> Float[Tensor, "*rows hidden"]:
        """The part of the state that the network reads out."""
        return state[..., : self.hidden]


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
