"""The shortcut that runs a recurrence by itself, where the rest of its module works on each position by itself.

The inputs of the recurrence are looked up by token. Its states are computed from the swap on, as for this package's own
networks. The rest of the module then runs once, with every state as a trial of one token.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from causalign.networks.devices import device_of
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
        ids: The ids whose inputs are looked up.
    """

    def __init__(self, place: RecurrentPlace, cell: Cell, run: Run, ids: Int[Tensor, " ids"]) -> None:
        self._place, self._run = place, run
        with place.receiving() as received, torch.no_grad():
            run(ids[:, None])
        brought = received[0].new_zeros(int(ids.max()) + 1, received[0].shape[1])
        brought[ids] = received[0]
        self._known = torch.zeros(len(brought), dtype=torch.bool, device=ids.device).index_fill(0, ids, True)
        self._stepper = cell.stepper(brought)

    @classmethod
    def of(cls, place: RecurrentPlace, run: Run, ids: Int[Tensor, " ids"]) -> "RecurrenceShortcut | None":
        """Return the shortcut, or `None` where no cell implements the recurrence.

        A GRU or an LSTM of one layer, with biases and without a projection, has a cell. The place must be all that it
        carries, on the device of the module's first weights.
        """
        rnn = place.submodule
        if not place.is_whole or not isinstance(rnn, nn.GRU | nn.LSTM) or device_of(rnn, ids) != ids.device:
            return None
        if rnn.num_layers > 1 or rnn.proj_size or not rnn.bias:
            return None
        return cls(place, GRUCell(rnn) if isinstance(rnn, nn.GRU) else LSTMCell(rnn), run, ids)

    def reads(self, at_swap: Int[Tensor, " trials"], continuation: Continuation) -> bool:
        """Return whether the input of every token is looked up. The arguments are those of `run_from`."""
        tokens = _before(at_swap, continuation)
        known = self._known[tokens.clamp(max=len(self._known) - 1)] & (tokens < len(self._known))
        return bool(known.all())

    def run_from(
        self, state: Float[Tensor, "trials width"], at_swap: Int[Tensor, " trials"], continuation: Continuation
    ) -> Float[Tensor, "tokens features"]:
        """Run on from swapped states. Return the features from which every token of the continuation is predicted.

        Args:
            state: The swapped state of each row.
            at_swap: The id of the token after which each state was swapped.
            continuation: The tokens to predict.
        """
        before = _before(at_swap, continuation)
        with self._place.giving(run_from(self._stepper, state, continuation)):
            return self._run(before[:, None]).squeeze(1)


def _before(at_swap: Int[Tensor, " trials"], continuation: Continuation) -> Int[Tensor, " tokens"]:
    """Return the token before each token of the continuation."""
    running = continuation.running
    read = continuation.tokens.split(running)
    return torch.cat([at_swap, *(each[:going_on] for each, going_on in zip(read, running[1:], strict=False))])
