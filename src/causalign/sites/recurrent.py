"""The sites of the recurrent networks: what the recurrence carries, and the token embedding."""

from itertools import pairwise

import torch
from jaxtyping import Float, Int
from torch import Tensor
from typing_extensions import override

from causalign.networks import GRU, LSTM
from causalign.sites._base import Continuation, Places, Prepared, Site
from causalign.sites._cells import Cell, GRUCell, LSTMCell
from causalign.tasks import Task


class _Recurrent(Site):
    """What both sites share: the cell, run on from a state.

    The input gates are a lookup: there are few tokens, so that W_ih x + b_ih is computed once for each.
    """

    network: GRU | LSTM

    def __init__(self, network: GRU | LSTM, at: str, task: Task) -> None:
        self._cell: Cell = GRUCell(network.cell) if isinstance(network, GRU) else LSTMCell(network.cell)
        embedding = network.embedding.weight.detach()
        super().__init__(network, at, task, self._cell.width if at == "hidden" else embedding.shape[1])
        self._input_gates = self._cell.gates(embedding)

    def _states(self, tokens: Int[Tensor, "trials time"]) -> Float[Tensor, "trials time carried"]:
        state = self._input_gates.new_zeros(len(tokens), self._cell.width)
        states = state.new_empty(*tokens.shape, self._cell.width)
        with torch.no_grad():
            for position, column in enumerate(tokens.unbind(1)):
                state = self._cell.step(self._input_gates[column], state)
                states[:, position] = state
        return states

    def _run_on(
        self, state: Float[Tensor, "trials carried"], continuation: Continuation
    ) -> Float[Tensor, "tokens vocabulary"]:
        """The logits of the continuation, its first token predicted from `state`."""
        states = [state]
        fed = continuation.tokens.split(continuation.running)
        for tokens, (_, running) in zip(fed, pairwise(continuation.running), strict=False):
            state = self._cell.step(self._input_gates[tokens[:running]], state[:running])
            states.append(state)
        logits: Tensor = self.network.readout(self._cell.output(torch.cat(states)))
        return logits


class HiddenState(_Recurrent):
    """What the recurrence carries, h of a GRU and `[h ; c]` of an LSTM: nothing precedes it."""

    def __init__(self, network: GRU | LSTM, task: Task) -> None:
        super().__init__(network, "hidden", task)

    @override
    def read(self, tokens: Int[Tensor, "trials time"]) -> Float[Tensor, "trials time width"]:
        return self._states(tokens)

    @override
    def prepare(self, tokens: Int[Tensor, "trials time"], stepwise: bool = False) -> Prepared:
        del tokens, stepwise
        return {}

    @override
    def resume(
        self, prepared: Prepared, places: Places, state: Float[Tensor, "trials width"], continuation: Continuation
    ) -> Float[Tensor, "tokens vocabulary"]:
        del prepared, places
        return self._run_on(state, continuation)


class Embedding(_Recurrent):
    """The token embedding: it is preceded by what the recurrence carried one position earlier."""

    def __init__(self, network: GRU | LSTM, task: Task) -> None:
        super().__init__(network, "embedding", task)

    @override
    def read(self, tokens: Int[Tensor, "trials time"]) -> Float[Tensor, "trials time width"]:
        return self.network.embedding.weight.detach()[tokens]

    @override
    def prepare(self, tokens: Int[Tensor, "trials time"], stepwise: bool = False) -> Prepared:
        if stepwise:
            return {}
        before = self._states(tokens[:, :-1])
        return {"before": torch.nn.functional.pad(before, (0, 0, 1, 0))}

    @override
    def resume(
        self, prepared: Prepared, places: Places, state: Float[Tensor, "trials width"], continuation: Continuation
    ) -> Float[Tensor, "tokens vocabulary"]:
        before = prepared["before"][places.trial, places.position]
        return self._run_on(self._cell.step(self._cell.gates(state), before), continuation)

    @override
    def resume_steps(
        self,
        prepared: Prepared,
        places: Places,
        states: Float[Tensor, "trials steps width"],
        continuation: Continuation,
    ) -> Float[Tensor, "tokens vocabulary"]:
        del prepared
        longest_first = places.position.argsort(descending=True, stable=True)
        lengths = places.position[longest_first] + 1
        steps = torch.arange(states.shape[1], device=states.device)
        step, trial = (steps[:, None] < lengths).nonzero(as_tuple=True)
        running = step.bincount().tolist()
        state = states.new_zeros(len(states), self._cell.width)
        ended = []
        for gates in self._cell.gates(states[longest_first][trial, step]).split(running):
            ended.append(state[len(gates) :])
            state = self._cell.step(gates, state[: len(gates)])
        swapped = torch.cat([state, *reversed(ended)])
        return self._run_on(swapped[longest_first.argsort()], continuation)


GRU.site_types |= {"hidden": HiddenState, "embedding": Embedding}
LSTM.site_types |= {"hidden": HiddenState, "embedding": Embedding}
