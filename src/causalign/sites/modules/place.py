"""The base of places in a module: a state that forward hooks can read and replace while the module runs."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

from jaxtyping import Float, Int
from torch import Tensor, nn

from causalign.errors import InvalidArgument


class Place(ABC):
    """The state at one submodule, at every position. Hooks are in place as long as a context is open."""

    carries: bool
    """Whether the submodule carries the state from position to position, so that a state replaces all earlier ones."""

    def __init__(self, submodule: nn.Module, width: int) -> None:
        self.submodule, self.width = submodule, width

    @abstractmethod
    def reading(self, shape: tuple[int, int]) -> AbstractContextManager[list[Float[Tensor, "trials time width"]]]:
        """Open a context that yields a list, to which every call of the submodule appends its states.

        Args:
            shape: The numbers of trials and of tokens of the run, a prompt included.
        """

    @abstractmethod
    def swapping(
        self,
        shape: tuple[int, int],
        position: Int[Tensor, "trials ..."],
        states: Float[Tensor, "trials ... width"],
        before: int = 0,
    ) -> AbstractContextManager[None]:
        """Open a context in which states are swapped.

        Args:
            shape: The numbers of trials and of tokens of the run, a prompt included.
            position: The position of each trial's swap, or of each of its swaps, `[trials, swaps]`.
            states: The swapped states: `[trials, width]` at the positions; `[trials, swaps, width]` at several; or,
                stepwise, `[trials, steps, width]` at all positions up to one.
            before: The number of tokens that the module reads before position 0.
        """


def require_one_call(calls: Sequence[Any], at: str) -> None:
    """Check that a run has called a submodule exactly once.

    Args:
        calls: The calls of the submodule, or the states that they gave, one for each.
        at: The path of the submodule.

    Raises:
        InvalidArgument: The submodule was never called, or more than once.
    """
    if not calls:
        raise InvalidArgument(f"{at} is not called in a run of the module: it has no state to be swapped")
    if len(calls) > 1:
        raise InvalidArgument(f"{at} is called {len(calls)} times in a run of the module: it has no single state")
