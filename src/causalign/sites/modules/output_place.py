"""The output of a submodule as a place: a tensor `[trials, time, ...]`, alone or within a tuple or a dict."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.utils import _pytree as pytree  # torch's own, which knows the containers of Hugging Face
from typing_extensions import override

from causalign.errors import InvalidArgument
from causalign.sites.modules.place import Place


@dataclass(frozen=True)
class _Leaf:
    """The location of the state in an output.

    The state is the first floating-point tensor that has an entry for every trial and token.
    """

    index: int
    """The index of the tensor among the leaves of the output's containers."""
    time_first: bool
    """Whether the tensor is `[time, trials, ...]` rather than `[trials, time, ...]`."""
    entry: torch.Size
    """The shape of one position's state."""

    @classmethod
    def within(cls, output: Any, trials: int, time: int) -> "_Leaf | None":
        leaves, _ = pytree.tree_flatten(output)
        for index, leaf in enumerate(leaves):
            if isinstance(leaf, Tensor) and leaf.dim() > 2 and leaf.is_floating_point():
                if leaf.shape[:2] == (trials, time):
                    return cls(index, False, leaf.shape[2:])
                if leaf.shape[:2] == (time, trials):
                    return cls(index, True, leaf.shape[2:])
        return None

    def get(self, output: Any) -> Float[Tensor, "trials time width"]:
        """Return the states of an output. The state of each position is flattened."""
        states: Tensor = pytree.tree_flatten(output)[0][self.index].flatten(2)
        return states.transpose(0, 1) if self.time_first else states

    def put(self, output: Any, states: Float[Tensor, "trials time width"]) -> Any:
        """Return the output with other states, in the same containers. Every occurrence of the tensor is replaced."""
        leaves, containers = pytree.tree_flatten(output)
        shaped = states.unflatten(2, self.entry)
        new, old = shaped.transpose(0, 1) if self.time_first else shaped, leaves[self.index]
        return pytree.tree_unflatten([new if leaf is old else leaf for leaf in leaves], containers)


class OutputPlace(Place):
    """The output of the submodule at each position."""

    carries = False

    def __init__(self, submodule: nn.Module, at: str, output: Any, trials: int, time: int) -> None:
        leaf = _Leaf.within(output, trials, time)
        if leaf is None:
            raise InvalidArgument(f"{at} returns no tensor [trials, time, width]; found {_shapes(output)}")
        super().__init__(submodule, leaf.entry.numel())
        self._leaf = leaf

    @override
    @contextmanager
    def reading(self) -> Iterator[list[Float[Tensor, "trials time width"]]]:
        states: list[Tensor] = []

        def read(_: nn.Module, __: Any, output: Any) -> None:
            states.append(self._leaf.get(output).clone())  # later modules may work in place

        hook = self.submodule.register_forward_hook(read)
        try:
            yield states
        finally:
            hook.remove()

    @override
    @contextmanager
    def swapping(
        self, position: Int[Tensor, "trials ..."], states: Float[Tensor, "trials ... width"]
    ) -> Iterator[None]:
        trial, step, values = _entries(position, states)

        def swap(_: nn.Module, __: Any, output: Any) -> Any:
            own = self._leaf.get(output)
            return self._leaf.put(output, own.index_put((trial, step), values.to(own.dtype)))

        hook = self.submodule.register_forward_hook(swap)
        try:
            yield
        finally:
            hook.remove()


def _entries(
    position: Int[Tensor, "trials ..."], states: Float[Tensor, "trials ... width"]
) -> tuple[Int[Tensor, " entries"], Int[Tensor, " entries"], Float[Tensor, "entries width"]]:
    """Return the trial, the position and the state of every swap: one, several, or stepwise all up to a position."""
    trials = torch.arange(len(states), device=states.device)
    if states.dim() == 2:
        return trials, position, states
    if position.dim() == 2:
        return trials.repeat_interleave(position.shape[1]), position.flatten(), states.flatten(0, 1)
    steps = torch.arange(states.shape[1], device=states.device)
    trial, step = (steps <= position[:, None]).nonzero(as_tuple=True)
    return trial, step, states[trial, step]


def _shapes(output: Any) -> str:
    found = [str(list(each.shape)) for each in pytree.tree_flatten(output)[0] if isinstance(each, Tensor)]
    return f"{type(output).__name__} of shape {' and '.join(found)}" if found else type(output).__name__
