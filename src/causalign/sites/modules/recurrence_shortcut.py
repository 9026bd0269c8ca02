"""The shortcut that runs a recurrence by itself, where the rest of its module works on each position by itself.

The inputs of the recurrence are looked up by token. Its states are computed from the swap on, as for this package's own
networks. The rest of the module then runs once, with every state as a trial of one token.
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
    """A recurrence in a module, run by itself.

    Args:
        place: The place of the recurrence.
        cell: The recurrence as a cell.
        run: The function that runs the module and returns the features of every position.
        ids: The ids that the module may read.
    """

    def __init__(self, place: RecurrentPlace, cell: Cell, run: Run, ids: Int[Tensor, " ids"]) -> None:
        self._place, self._run = place, run
        with place.receiving() as received, torch.no_grad():
            run(ids[:, None])
        brought = received[0].new_zeros(int(ids.max()) + 1, received[0].shape[1])
        brought[ids] = received[0]
        self._stepper = cell.stepper(brought)

    @classmethod
    def of(cls, place: RecurrentPlace, run: Run, ids: Int[Tensor, " ids"]) -> "RecurrenceShortcut | None":
        """Return the shortcut, or `None` where no cell implements the recurrence.

        A GRU or an LSTM of one layer, with biases and without a projection, has a cell. The place must be all that it
        carries.
        """
        rnn = place.submodule
        if not place.is_whole or not isinstance(rnn, nn.GRU | nn.LSTM):
            return None
        if rnn.num_layers > 1 or rnn.proj_size or not rnn.bias:
            return None
        return cls(place, GRUCell(rnn) if isinstance(rnn, nn.GRU) else LSTMCell(rnn), run, ids)

    def run_from(
        self, state: Float[Tensor, "trials width"], at_swap: Int[Tensor, " trials"], continuation: Continuation
    ) -> Float[Tensor, "tokens features"]:
        """Run on from swapped states. Return the features from which every token of the continuation is predicted.

        Args:
            state: The swapped state of each row.
            at_swap: The id of the token after which each state was swapped.
            continuation: The tokens to predict.
        """
        running = continuation.running
        read = continuation.tokens.split(running)
        before = torch.cat([at_swap, *(each[:going_on] for each, going_on in zip(read, running[1:], strict=False))])
        with self._place.giving(run_from(self._stepper, state, continuation)):
            return self._run(before[:, None]).squeeze(1)
