"""Places in anybody's module: a state that forward hooks can read and replace while the module runs."""

from abc import ABC, abstractmethod
from contextlib import AbstractContextManager
from typing import Any

from jaxtyping import Float, Int
from torch import Tensor, nn

from causalign.errors import InvalidArgument


class Place(ABC):
    """The state at one submodule, at every position. What is done to it lasts as long as the context."""

    carries: bool
    """Whether a state replaces all that the ones before it have left in the submodule."""

    def __init__(self, submodule: nn.Module, width: int) -> None:
        self.submodule, self.width = submodule, width

    @abstractmethod
    def reading(self) -> AbstractContextManager[list[Float[Tensor, "trials time width"]]]:
        """A list to which every call of the submodule adds its states."""

    @abstractmethod
    def swapping(
        self, position: Int[Tensor, " trials"], states: Float[Tensor, "trials ... width"]
    ) -> AbstractContextManager[None]:
        """The state at a position of each trial is another; or, from `[trials, steps, width]`, all up to that one."""


def require_one_call(outputs: list[Any], at: str) -> None:
    """Check that a run has called a submodule once.

    Raises:
        InvalidArgument: it has not.
    """
    if not outputs:
        raise InvalidArgument(f"{at} is not called in a run of the module: it has no state to be swapped")
    if len(outputs) > 1:
        raise InvalidArgument(f"{at} is called {len(outputs)} times in a run of the module: its state is not one")
