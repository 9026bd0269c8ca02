"""Gates: a learned share of each coordinate that is swapped, which hardens to all or nothing during a search."""

import math
from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from causalign.errors import InvalidArgument


class Gate(nn.Module, ABC):
    """A learned mask of the coordinates of the aligned space. Called, it returns the share of each that is swapped.

    The shares are soft while a search trains them. The temperature falls over the search from the first to the second,
    by the same factor in every step, and the shares approach 0 and 1.

    Args:
        temperatures: The temperature at the beginning of the search, and at its end.
        weight: The weight of the penalty, in units of the loss: what swapping all coordinates costs.
    """

    learning_rate: ClassVar[float]
    """The learning rate of Adam."""
    temperature: Float[Tensor, ""]

    def __init__(self, temperatures: tuple[float, float], weight: float) -> None:
        super().__init__()
        self.temperatures, self.weight = temperatures, weight
        self.register_buffer("temperature", torch.tensor(temperatures[0]))

    def anneal(self, progress: float) -> None:
        """Set the temperature for a share of the search, from 0 (its beginning) to 1 (its end)."""
        first, last = self.temperatures
        self.temperature.fill_(first ** (1 - progress) * last**progress)

    @abstractmethod
    def forward(self) -> Float[Tensor, " rank"]:
        """Return the share of each coordinate that is swapped, differentiable in the parameters."""

    @abstractmethod
    def kept(self) -> Bool[Tensor, " rank"]:
        """Return which coordinates a search that ended now would swap, at least one."""

    @abstractmethod
    def penalty(self) -> Float[Tensor, ""]:
        """Return what the search adds to its loss, so that no more coordinates are swapped than are needed."""


def require_weight(name: str, weight: object) -> None:
    """Check the weight of a penalty.

    Raises:
        InvalidArgument: It is not a finite number, or negative.
    """
    if not isinstance(weight, int | float) or isinstance(weight, bool) or not 0 <= weight < math.inf:
        raise InvalidArgument(f"{name} is a finite number, at least 0; found {weight!r}")


def require_temperatures(name: str, temperatures: object) -> tuple[float, float]:
    """Return the first and the last temperature of a schedule.

    Raises:
        InvalidArgument: They are not two positive numbers, or the second is above the first.
    """
    if isinstance(temperatures, list | tuple) and len(temperatures) == 2:
        first, last = temperatures
        numbers = all(isinstance(each, int | float) and not isinstance(each, bool) for each in temperatures)
        if numbers and 0 < last <= first < math.inf:
            return float(first), float(last)
    raise InvalidArgument(
        f"{name} are two positive numbers, the first temperature and a lower last one; found {temperatures!r}"
    )
