"""Numbers as the output of a network."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from jaxtyping import Bool, Float
from torch import Tensor

from causalign.errors import InvalidArgument


@dataclass(frozen=True)
class Regression:
    """The output of a module that predicts numbers, `[rows, numbers]`.

    A row counts if every number is within the tolerance of its label. The search minimizes half the squared error.

    Attributes:
        tolerance: The largest difference from a label that counts as right.
        read: A function from what the module returns to its numbers. By default they are found as logits are.

    Raises:
        InvalidArgument: The tolerance is missing, negative or not finite.
    """

    tolerance: float | None = None
    read: Callable[[Any], Tensor] | None = None

    def __post_init__(self) -> None:
        given = self.tolerance
        if not isinstance(given, int | float) or isinstance(given, bool) or not 0 <= given < math.inf:
            raise InvalidArgument(
                f"a regression needs the tolerance of a right number, such as Regression(0.1); found {given!r}"
            )

    def loss(self, numbers: Float[Tensor, "entries 1"], labels: Float[Tensor, " entries"]) -> Float[Tensor, ""]:
        """Return half the squared error, summed."""
        return (numbers[:, 0].float() - labels).square().sum() / 2

    def correct(
        self, numbers: Float[Tensor, "entries 1"], labels: Float[Tensor, " entries"]
    ) -> Bool[Tensor, " entries"]:
        """Return whether each number is within the tolerance of its label."""
        assert self.tolerance is not None
        return (numbers[:, 0].float() - labels).abs() <= self.tolerance
