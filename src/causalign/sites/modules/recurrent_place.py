"""The state that a recurrence of PyTorch carries, as a place: h of all layers and, for an LSTM, c."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from typing_extensions import TypeIs, override

from causalign.errors import InvalidArgument
from causalign.networks.devices import device_of
from causalign.sites.modules.place import Place
from causalign.sites.modules.place_name import PlaceName

Carry = Tensor | tuple[Tensor, Tensor]
"""The state as the recurrences take and return it: h, or h and c of an LSTM, each `[layers, trials, size]`."""

_FORWARDS = [kind.forward for kind in (nn.GRU, nn.LSTM, nn.RNN)]


def is_recurrence(submodule: nn.Module) -> TypeIs[nn.RNNBase]:
    """Whether a submodule is a GRU, LSTM or RNN with the `forward` of PyTorch."""
    return isinstance(submodule, nn.RNNBase) and type(submodule).forward in _FORWARDS


class RecurrentPlace(Place):
    """`[h ; c]` of all layers after a token, or a slice of it.

    A swap replaces it, and the recurrence runs on from there. What is outside the slice is what the recurrence carries
    at the swap.
    """

    carries = True

    def __init__(self, rnn: nn.RNNBase, name: PlaceName, output: Any, trials: int, time: int) -> None:
        at = name.path
        if rnn.bidirectional:
            raise InvalidArgument(f"{at} is bidirectional: its states depend on later tokens")
        if not isinstance(output[0], Tensor):
            raise InvalidArgument(f"{at} receives packed sequences; pass it a tensor [trials, time, width]")
        self._time = 1 if rnn.batch_first else 0
        if output[0].shape[:-1] != ((trials, time) if rnn.batch_first else (time, trials)):
            raise InvalidArgument(
                f"{at} takes [{'trials, time' if rnn.batch_first else 'time, trials'}, width] "
                f"(batch_first={rnn.batch_first}), but trials are not where it expects them"
            )
        self._layers, self._lstm = rnn.num_layers, isinstance(rnn, nn.LSTM)
        self._hidden = self._layers * (rnn.proj_size or rnn.hidden_size)
        self._whole = self._hidden + (self._layers * rnn.hidden_size if self._lstm else 0)
        self._part = name.coordinates(self._whole)
        super().__init__(rnn, self._part.stop - self._part.start)

    @property
    def is_whole(self) -> bool:
        """Whether the place is all that the recurrence carries, rather than a slice of it."""
        return self.width == self._whole

    def _flat(self, carry: Carry) -> Float[Tensor, "trials whole"]:
        parts = carry if isinstance(carry, tuple) else (carry,)
        return torch.cat([part.transpose(0, 1).flatten(1) for part in parts], dim=1)

    def _layered(self, state: Float[Tensor, "trials whole"]) -> Carry:
        hidden, *cell = (
            part.unflatten(1, (self._layers, -1)).transpose(0, 1).contiguous()
            for part in state.split([self._hidden, self._whole - self._hidden] if self._lstm else self._hidden, dim=1)
        )
        return (hidden, cell[0]) if cell else hidden

    @override
    @contextmanager
    def reading(self, shape: tuple[int, int]) -> Iterator[list[Float[Tensor, "trials time width"]]]:
        states: list[Tensor] = []

        def read(rnn: nn.Module, args: Any, options: Any, _: Any) -> None:
            states.append(self._stepped(rnn, *_arguments(*args, **options))[..., self._part])

        hook = self.submodule.register_forward_hook(read, with_kwargs=True)
        try:
            yield states
        finally:
            hook.remove()

    def _stepped(
        self, rnn: nn.Module, inputs: Float[Tensor, "_ _ input"], carry: Carry | None
    ) -> Float[Tensor, "trials time whole"]:
        """Return all that the recurrence carries after every token."""
        after = []
        for step in inputs.split(1, dim=self._time):
            _, carry = rnn.forward(step, carry)
            after.append(self._flat(carry))
        return torch.stack(after, dim=1)

    @contextmanager
    def receiving(self) -> Iterator[list[Float[Tensor, "trials input"]]]:
        """Open a context that yields a list, to which the recurrence appends its inputs.

        Runs within the context are of trials of one token.
        """
        received: list[Tensor] = []

        def receive(_: nn.Module, args: Any, options: Any) -> None:
            received.append(_arguments(*args, **options)[0].squeeze(self._time))

        hook = self.submodule.register_forward_pre_hook(receive, with_kwargs=True)
        try:
            yield received
        finally:
            hook.remove()

    @contextmanager
    def giving(self, states: Float[Tensor, "trials width"]) -> Iterator[None]:
        """Open a context in which the recurrence returns the output that belongs to these states.

        Runs within the context are of trials of one token; each state is the one after that token.
        """
        carry = self._layered(states)
        output = (carry[0] if isinstance(carry, tuple) else carry)[-1].unsqueeze(self._time)

        def skip(_: nn.Module, args: Any, options: Any) -> tuple[Any, Any]:
            return (_arguments(*args, **options)[0].narrow(1 - self._time, 0, 1),), {}  # its output is replaced

        def give(_: nn.Module, __: Any, ___: Any) -> tuple[Tensor, Carry]:
            return output, carry

        before = self.submodule.register_forward_pre_hook(skip, with_kwargs=True)
        after = self.submodule.register_forward_hook(give)
        try:
            yield
        finally:
            before.remove()
            after.remove()

    @override
    @contextmanager
    def swapping(
        self,
        shape: tuple[int, int],
        position: Int[Tensor, " trials"],
        states: Float[Tensor, "trials width"],
        before: int = 0,
    ) -> Iterator[None]:
        device = device_of(self.submodule, states)
        position, states = position.to(device) + before, states.to(device)
        received: list[tuple[Tensor, Tensor]] = []

        def shorten(rnn: nn.Module, args: Any, options: Any) -> tuple[Any, Any]:
            inputs, carry = _arguments(*args, **options)
            first = inputs.narrow(self._time, 0, int(position.max()) + 1)
            received.append((inputs, states if self.is_whole else self._filled(rnn, (first, carry), position, states)))
            return (first, carry), {}

        def go_on(rnn: nn.Module, _: Any, output: tuple[Tensor, Carry]) -> tuple[Tensor, Carry]:
            inputs, whole = received.pop()
            return self._gone_on(rnn, inputs, output[0], position, whole)

        hooks = [
            self.submodule.register_forward_pre_hook(shorten, with_kwargs=True),
            self.submodule.register_forward_hook(go_on),
        ]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def _filled(
        self,
        rnn: nn.Module,
        arguments: tuple[Float[Tensor, "_ _ input"], Carry | None],
        position: Int[Tensor, " trials"],
        states: Float[Tensor, "trials width"],
    ) -> Float[Tensor, "trials whole"]:
        """Return all that the recurrence carries at the swap, its slice replaced by the swapped states."""
        own = self._stepped(rnn, *arguments)[torch.arange(len(position), device=position.device), position]
        start, stop = self._part.start, self._part.stop
        return torch.cat([own[:, :start], states.to(own.dtype), own[:, stop:]], dim=1)

    def _gone_on(
        self,
        rnn: nn.Module,
        inputs: Float[Tensor, "_ _ input"],
        before: Float[Tensor, "_ _ output"],
        position: Int[Tensor, " trials"],
        states: Float[Tensor, "trials whole"],
    ) -> tuple[Tensor, Carry]:
        """Return the output and the last state of the recurrence.

        The output at positions before the swap is that of the plain run, and the output from the swap on is run on from
        the swapped state.
        """
        if not self._time:
            inputs, before = inputs.transpose(0, 1), before.transpose(0, 1)
        trial = torch.arange(len(position), device=inputs.device)[:, None]
        column = torch.arange(inputs.shape[1], device=inputs.device)
        left = column[: max(1, len(column) - 1 - int(position.min()))]
        shifted = inputs[trial, (position[:, None] + 1 + left).clamp(max=len(column) - 1)]
        carry = self._layered(states.to(inputs.dtype))
        after, end = rnn.forward(shifted if self._time else shifted.transpose(0, 1), carry)
        top = (carry[0] if isinstance(carry, tuple) else carry)[-1]
        after = after if self._time else after.transpose(0, 1)
        together = torch.cat([before, top[:, None], after], dim=1)
        passed = column >= position[:, None]
        outputs = together[trial, torch.where(passed, before.shape[1] + column - position[:, None], column)]
        return outputs if self._time else outputs.transpose(0, 1), end


def _arguments(input: Tensor, hx: Carry | None = None) -> tuple[Tensor, Carry | None]:  # noqa: A002 (PyTorch's names)
    return input, hx
