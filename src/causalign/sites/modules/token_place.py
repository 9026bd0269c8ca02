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
        position: Int[Tensor, " trials"],
        states: Float[Tensor, "trials ... width"],
        before: int = 0,
    ) -> Iterator[None]:
        stepwise = states.dim() == 3
        steps = torch.arange(states.shape[1], device=states.device) if stepwise else position[:, None]
        trial, step = (steps <= position[:, None]).nonzero(as_tuple=True)
        values = states[trial, step] if stepwise else states
        where = (trial, before + (step if stepwise else position))
        with self._tensor.writing(shape, lambda own: own.index_put(where, values.to(own.dtype))):
            yield
