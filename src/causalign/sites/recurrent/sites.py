"""The sites of the recurrent networks: the hidden state and the token embedding."""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional
from typing_extensions import override

from causalign.networks.gru import GRU
from causalign.networks.lstm import LSTM
from causalign.networks.site_registry import register_site
from causalign.sites.base import Continuation, Places, Site
from causalign.sites.prefix import Prefix
from causalign.sites.recurrent.cells import Cell, GRUCell, LSTMCell
from causalign.sites.recurrent.recurrence import run_from
from causalign.tasks.base import Task


class _Recurrent(Site):
    """The base of both sites: the cell, which runs on from a state.

    There are few tokens, so that their input gates are computed once and looked up.
    """

    network: GRU | LSTM
    shares_prefix = True

    def __init__(self, network: GRU | LSTM, at: str, task: Task) -> None:
        self._cell: Cell = GRUCell(network.cell) if isinstance(network, GRU) else LSTMCell(network.cell)
        embedding = network.embedding.weight.detach()
        self._bind(network, at, task, self._cell.width if at == "hidden" else embedding.shape[1])
        self._stepper = self._cell.stepper(embedding)

    def _before(self, tokens: Int[Tensor, "trials time"]) -> Float[Tensor, "trials time carried"]:
        """Return the state of the recurrence before it reads each token."""
        trials, time = tokens.shape
        whole = Continuation.pack(tokens, torch.full((trials,), time, device=tokens.device))
        with torch.no_grad():
            states = run_from(self._stepper, self._begin(trials), whole)
        return states.view(time, trials, -1).transpose(0, 1)

    def _begin(self, trials: int) -> Float[Tensor, "trials carried"]:
        return self.network.embedding.weight.new_zeros(trials, self._cell.width)

    def _features(
        self, state: Float[Tensor, "trials carried"], continuation: Continuation
    ) -> Float[Tensor, "tokens hidden"]:
        """Return the features from which the continuation is predicted. Those of its first tokens are from `state`."""
        return self._cell.output(run_from(self._stepper, state, continuation))

    @override
    def read_out(self, features: Float[Tensor, "tokens hidden"]) -> Float[Tensor, "tokens vocabulary"]:
        logits: Tensor = self.network.readout(features)
        return logits


class HiddenState(_Recurrent):
    """The state of the recurrence: h of a GRU, `[h ; c]` of an LSTM. Its prefix is empty."""

    def __init__(self, network: GRU | LSTM, task: Task) -> None:
        super().__init__(network, "hidden", task)

    @override
    def read(self, tokens: Int[Tensor, "trials time"]) -> Float[Tensor, "trials time width"]:
        return self._before(functional.pad(tokens, (0, 1)))[:, 1:]

    @override
    def prefix(self, tokens: Int[Tensor, "trials time"], stepwise: bool = False) -> Prefix:
        return Prefix.empty()

    @override
    def run_from(
        self, prefix: Prefix, places: Places, state: Float[Tensor, "trials width"], continuation: Continuation
    ) -> Float[Tensor, "tokens hidden"]:
        return self._features(state, continuation)


class Embedding(_Recurrent):
    """The token embedding. Its prefix is the state of the recurrence one position earlier."""

    def __init__(self, network: GRU | LSTM, task: Task) -> None:
        super().__init__(network, "embedding", task)

    @override
    def read(self, tokens: Int[Tensor, "trials time"]) -> Float[Tensor, "trials time width"]:
        return self.network.embedding.weight.detach()[tokens]

    @override
    def prefix(self, tokens: Int[Tensor, "trials time"], stepwise: bool = False) -> Prefix:
        if stepwise:
            return Prefix.empty()
        return Prefix.padded({"before": self._before(tokens)})

    @override
    def run_from(
        self, prefix: Prefix, places: Places, state: Float[Tensor, "trials width"], continuation: Continuation
    ) -> Float[Tensor, "tokens hidden"]:
        before = prefix.at("before", places.trial, places.position).to(state)
        return self._features(self._cell.step(self._cell.gates(state), before), continuation)

    @override
    def run_from_steps(
        self,
        prefix: Prefix,
        places: Places,
        states: Float[Tensor, "trials steps width"],
        continuation: Continuation,
    ) -> Float[Tensor, "tokens hidden"]:
        longest_first = places.position.argsort(descending=True, stable=True)
        lengths = places.position[longest_first] + 1
        steps = torch.arange(states.shape[1], device=states.device)
        step, trial = (steps[:, None] < lengths).nonzero(as_tuple=True)
        running = step.bincount().tolist()
        state = self._begin(len(states))
        ended = []
        for gates in self._cell.gates(states[longest_first][trial, step]).split(running):
            ended.append(state[len(gates) :])
            state = self._cell.step(gates, state[: len(gates)])
        swapped = torch.cat([state, *reversed(ended)])
        return self._features(swapped[longest_first.argsort()], continuation)


for _kind in (GRU, LSTM):
    register_site(_kind, lambda _: {"hidden": HiddenState, "embedding": Embedding})
