"""The input or the output of a submodule at each position: a tensor `[trials, time, ...]`, alone or in a container."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from typing_extensions import override

from causalign.sites.modules.place import Place
from causalign.sites.modules.place_name import PlaceName
from causalign.sites.modules.tensor_place import Call, TensorPlace


class TokenPlace(Place):
    """The input or the output of the submodule at each position, or a slice of it."""

    carries = False

    def __init__(self, submodule: nn.Module, name: PlaceName, call: Call, trials: int, time: int) -> None:
        self._tensor = TensorPlace(submodule, name, call, (trials, time))
        super().__init__(submodule, self._tensor.width)

    @override
    def reading(self, shape: tuple[int, int]) -> AbstractContextManager[list[Float[Tensor, "trials time width"]]]:
        return self._tensor.reading(shape)

    @override
    @contextmanager
    def swapping(
        self,
        shape: tuple[int, int],
        position: Int[Tensor, "trials ..."],
        states: Float[Tensor, "trials ... width"],
        before: int = 0,
    ) -> Iterator[None]:
        trial, step, values = swap_entries(position, states)
        with self._tensor.writing(shape, lambda own: put_entries(own, (trial, before + step), values)):
            yield


def put_entries(
    own: Float[Tensor, "trials ... width"],
    where: tuple[Int[Tensor, " entries"], ...],
    values: Float[Tensor, "entries width"],
) -> Float[Tensor, "trials ... width"]:
    """Return states with some replaced. The others, on whose device and in whose precision they are, stay."""
    return own.index_put(tuple(each.to(own.device) for each in where), values.to(own))


def swap_entries(
    position: Int[Tensor, "trials ..."], states: Float[Tensor, "trials ... width"]
) -> tuple[Int[Tensor, " entries"], Int[Tensor, " entries"], Float[Tensor, "entries width"]]:
    """Return the trial, the position and the state of every swap: one, several, or stepwise all up to a position.

    The arguments are those of `Place.swapping`.
    """
    trials = torch.arange(len(states), device=states.device)
    if states.dim() == 2:
        return trials, position, states
    if position.dim() == 2:
        return trials.repeat_interleave(position.shape[1]), position.flatten(), states.flatten(0, 1)
    steps = torch.arange(states.shape[1], device=states.device)
    trial, step = (steps <= position[:, None]).nonzero(as_tuple=True)
    return trial, step, states[trial, step]
