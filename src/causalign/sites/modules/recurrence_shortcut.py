"""A recurrence run on by itself, where the rest of its module works on each token by itself.

What a token brings to the recurrence is looked up, the states of the continuation are computed from the swap on as in
our own networks, and the rest of the module is shown all of them as so many trials of one token.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from causalign.sites.base import Continuation
from causalign.sites.modules.recurrent_place import RecurrentPlace
from causalign.sites.recurrent.cells import Cell, GRUCell, LSTMCell
from causalign.sites.recurrent.recurrence import run_from

Run = Callable[[Int[Tensor, "trials time"]], Float[Tensor, "trials time features"]]


class RecurrenceShortcut:
    """The recurrence at a place of a module that `run` runs, for tokens of some ids."""

    def __init__(self, place: RecurrentPlace, cell: Cell, run: Run, ids: Int[Tensor, " ids"]) -> None:
        self._place, self._run = place, run
        with place.receiving() as received, torch.no_grad():
            run(ids[:, None])
        brought = received[0].new_zeros(int(ids.max()) + 1, received[0].shape[1])
        brought[ids] = received[0]
        self._stepper = cell.stepper(brought)

    @classmethod
    def of(cls, place: RecurrentPlace, run: Run, ids: Int[Tensor, " ids"]) -> "RecurrenceShortcut | None":
        """Nothing, where the recurrence has no cell of ours."""
        rnn = place.submodule
        if not isinstance(rnn, nn.GRU | nn.LSTM) or rnn.num_layers > 1 or rnn.proj_size or not rnn.bias:
            return None
        return cls(place, GRUCell(rnn) if isinstance(rnn, nn.GRU) else LSTMCell(rnn), run, ids)

    def run_from(
        self, state: Float[Tensor, "trials width"], at_swap: Int[Tensor, " trials"], continuation: Continuation
    ) -> Float[Tensor, "tokens features"]:
        """What the continuation is predicted from; `at_swap` are the tokens after which the states were swapped."""
        running = continuation.running
        read = continuation.tokens.split(running)
        before = torch.cat([at_swap, *(each[:going_on] for each, going_on in zip(read, running[1:], strict=False))])
        with self._place.giving(run_from(self._stepper, state, continuation)):
            return self._run(before[:, None]).squeeze(1)
