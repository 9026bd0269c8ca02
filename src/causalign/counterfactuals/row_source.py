"""The interface between a counterfactual dataset and whatever makes its rows: a causal model, or a user's table."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from torch import Tensor

from causalign.counterfactuals.direction import Direction
from causalign.counterfactuals.rows import CounterfactualRows
from causalign.run_context import RunContext
from causalign.sites.readable import Readable

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class RowRequest:
    """The rows that a method needs of a split."""

    split: str
    directions: tuple[Direction, ...]
    stepwise: bool = False
    """Whether all positions up to the swap's are swapped."""
    latents: frozenset[Direction] = frozenset()
    """The directions whose rows need counterfactual latents."""


class RowSource(ABC):
    """Whatever makes the rows of a counterfactual dataset, for its sites."""

    sites: tuple[Readable, ...]

    @property
    @abstractmethod
    def counts(self) -> dict[str, int]:
        """The number of rows of each direction, by split."""

    @abstractmethod
    def index(self, split: str) -> Int[np.ndarray, " rows"]:
        """The place of each row of a split in the data that it is from."""

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """16 hexadecimal digits that tell these data from others, whatever the sites are."""

    @abstractmethod
    def with_sites(self, sites: Sequence[Readable]) -> "RowSource":
        """Return the same data for other sites."""

    @abstractmethod
    def with_counts(self, counts: dict[str, int]) -> "RowSource":
        """Return a smaller sample of the same data, for an estimate."""

    @abstractmethod
    def check(self, stepwise: bool, seed: int) -> None:
        """Check every site on inputs of these data.

        Raises:
            InvalidArgument: A site fails a check.
        """

    @abstractmethod
    def rows(self, request: RowRequest, context: RunContext) -> dict[Direction, CounterfactualRows]:
        """Make the rows of a split."""

    @abstractmethod
    def nbytes(self, split: str) -> int:
        """Bytes of the activations that were read for a split."""

    @abstractmethod
    def class_means(self, stepwise: bool, context: RunContext) -> list[Float[Tensor, "classes _"]]:
        """Return the mean training state of each class, for every site in one order.

        Raises:
            InvalidArgument: There are no classes, or the sites share none.
        """

    @abstractmethod
    def without_classes(self, stepwise: bool) -> str | None:
        """Say why there are no classes, if there are none."""

    @abstractmethod
    def paired_states(self, context: RunContext) -> list[Float[Tensor, "pairs _"]]:
        """Return states of all sites on the same inputs, row by row.

        Raises:
            InvalidArgument: The sites cannot read the same inputs.
        """

    @abstractmethod
    def accuracy(self, index: int, context: RunContext) -> float | None:
        """The share of test inputs that a site's network completes correctly with nothing swapped.

        None where the correct completion is unknown, or the site is a recording.
        """

    @property
    @abstractmethod
    def notes(self) -> tuple[str, ...]:
        """What was left out, assumed or filled in, a sentence each."""
