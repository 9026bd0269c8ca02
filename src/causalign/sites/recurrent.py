"""The sites of a GRU: its hidden state and its token embedding."""

from itertools import pairwise

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional
from typing_extensions import override

from causalign.networks import GRU
from causalign.sites._base import Continuation, Prepared, Site
from causalign.tasks import Task


class _Recurrent(Site):
    """What both sites share: the cell, run on from a hidden state.

    The input gates are a lookup: there are few tokens, so that W_ih x + b_ih is computed once for each.
    """

    network: GRU

    def __init__(self, network: GRU, at: str, task: Task) -> None:
        super().__init__(network, at, task, network.width)
        self._weights = dict(network.cell.named_parameters())
        self._input_gates = self._gates_of(network.embedding.weight.detach())

    def _gates_of(self, embedded: Float[Tensor, "rows width"]) -> Float[Tensor, "rows gates"]:
        return functional.linear(embedded, self._weights["weight_ih_l0"], self._weights["bias_ih_l0"])

    def _hidden(self, tokens: Int[Tensor, "trials time"]) -> Float[Tensor, "trials time width"]:
        hidden = self._input_gates.new_zeros(len(tokens), self.width)
        states = hidden.new_empty(*tokens.shape, self.width)
        with torch.no_grad():
            for position, column in enumerate(tokens.unbind(1)):
                hidden = self._step(self._input_gates[column], hidden)
                states[:, position] = hidden
        return states

    def _step(
        self, gates: Float[Tensor, "trials gates"], hidden: Float[Tensor, "trials width"]
    ) -> Float[Tensor, "trials width"]:
        """One step of the cell, from input gates and the hidden state before."""
        reset, update, new = gates.chunk(3, dim=1)
        recurrent = functional.linear(hidden, self._weights["weight_hh_l0"], self._weights["bias_hh_l0"])
        h_reset, h_update, h_new = recurrent.chunk(3, dim=1)
        reset = torch.sigmoid(reset + h_reset)
        update = torch.sigmoid(update + h_update)
        return torch.lerp(torch.tanh(torch.addcmul(new, reset, h_new)), hidden, update)

    def _run_on(
        self, hidden: Float[Tensor, "trials width"], continuation: Continuation
    ) -> Float[Tensor, "tokens vocabulary"]:
        """The logits of the continuation, its first token predicted from `hidden`."""
        states = [hidden]
        fed = continuation.tokens.split(continuation.running)
        for tokens, (_, running) in zip(fed, pairwise(continuation.running), strict=False):
            hidden = self._step(self._input_gates[tokens[:running]], hidden[:running])
            states.append(hidden)
        logits: Tensor = self.network.readout(torch.cat(states))
        return logits


class HiddenState(_Recurrent):
    """The hidden state of a GRU: nothing precedes it."""

    def __init__(self, network: GRU, task: Task) -> None:
        super().__init__(network, "hidden", task)

    @override
    def read(self, tokens: Int[Tensor, "trials time"]) -> Float[Tensor, "trials time width"]:
        return self._hidden(tokens)

    @override
    def prepare(self, tokens: Int[Tensor, "trials time"], positions: Int[Tensor, " trials"]) -> Prepared:
        del tokens, positions
        return {}

    @override
    def resume(
        self, prepared: Prepared, state: Float[Tensor, "trials width"], continuation: Continuation
    ) -> Float[Tensor, "tokens vocabulary"]:
        del prepared
        return self._run_on(state, continuation)


class Embedding(_Recurrent):
    """The token embedding of a GRU: it is preceded by the hidden state one position earlier."""

    def __init__(self, network: GRU, task: Task) -> None:
        super().__init__(network, "embedding", task)

    @override
    def read(self, tokens: Int[Tensor, "trials time"]) -> Float[Tensor, "trials time width"]:
        return self.network.embedding.weight.detach()[tokens]

    @override
    def prepare(self, tokens: Int[Tensor, "trials time"], positions: Int[Tensor, " trials"]) -> Prepared:
        rows = torch.arange(len(tokens), device=tokens.device)
        before = self._hidden(tokens)[rows, positions - 1]
        return {"hidden": torch.where(positions[:, None] > 0, before, 0.0)}

    @override
    def resume(
        self, prepared: Prepared, state: Float[Tensor, "trials width"], continuation: Continuation
    ) -> Float[Tensor, "tokens vocabulary"]:
        return self._run_on(self._step(self._gates_of(state), prepared["hidden"]), continuation)


GRU.site_types |= {"hidden": HiddenState, "embedding": Embedding}
