"""The interface of a counterfactual dataset to the source of its rows: a causal model, or a user's table."""

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
SHUFFLED_COMPLEMENT = "the expected outputs are shuffled, and a complement is scored on those of its own rows only"
"""The reason why a control has no complement."""


@dataclass(frozen=True)
class RowRequest:
    """The rows of a split that a method needs."""

    split: str
    directions: tuple[Direction, ...]
    stepwise: bool = False
    """Whether the states of all positions up to the swap's are swapped."""
    latents: frozenset[Direction] = frozenset()
    """The directions whose rows need counterfactual latents."""
    complement: bool = False
    """Whether the expected outputs are those of the complement. Rows that have none are left out, and directions
    without any row."""


class RowSource(ABC):
    """The source of the rows of a counterfactual dataset, for its sites."""

    sites: tuple[Readable, ...]

    @property
    @abstractmethod
    def counts(self) -> dict[str, int]:
        """The number of rows of each direction, by split."""

    @property
    def swaps(self) -> int:
        """The number of positions at which states are swapped in each row (stepwise, all up to the only one are)."""
        return 1

    @property
    def holdout(self) -> int:
        """The number of rows of each direction whose value is held out, the split `holdout`."""
        return 0

    @abstractmethod
    def index(self, split: str) -> Int[np.ndarray, " rows"]:
        """Return the index of each row of a split in the data that it comes from."""

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """A hash of the data in 16 hexadecimal digits, the same whatever the sites are."""

    @abstractmethod
    def with_sites(self, sites: Sequence[Readable]) -> "RowSource":
        """Return the same data for other sites."""

    @abstractmethod
    def with_counts(self, counts: dict[str, int]) -> "RowSource":
        """Return a smaller sample of the same data. Estimates of time and memory use it."""

    def shuffled(self, seed: int) -> "RowSource | None":  # noqa: ARG002
        """Return the same inputs with other rows' expected outputs; None where whole rows are shuffled instead.

        They are where everything that follows a swap is the expected output.
        """
        return None

    @abstractmethod
    def check(self, stepwise: bool, seed: int) -> None:
        """Check every site on inputs of the data.

        Raises:
            InvalidArgument: A site fails a check.
        """

    @abstractmethod
    def rows(self, request: RowRequest, context: RunContext) -> dict[Direction, CounterfactualRows]:
        """Return the rows of a split, by direction."""

    @abstractmethod
    def nbytes(self, split: str) -> int:
        """Return the size in bytes of the activations that were read for a split."""

    @abstractmethod
    def class_means(self, stepwise: bool, context: RunContext, variable: int = 0) -> list[Float[Tensor, "classes _"]]:
        """Return the mean training state of each class of one variable, in the same order for every site.

        `variable` is its index among the variables of the dataset.

        Raises:
            InvalidArgument: There are no classes, or the sites share none.
        """

    def class_count(self) -> int | None:
        """Return the number of classes of training rows, of all variables; `None` where only their states tell."""
        return None

    @abstractmethod
    def without_classes(self, stepwise: bool) -> str | None:
        """Return the reason why some variable has no classes, or `None` if each has."""

    @property
    @abstractmethod
    def without_complement(self) -> str | None:
        """The reason why no expected output of a complement is known, or `None` if it is."""

    @abstractmethod
    def paired_states(self, context: RunContext) -> list[Float[Tensor, "pairs _"]]:
        """Return the states of all sites on the same inputs, with aligned rows.

        Raises:
            InvalidArgument: The sites cannot read the same inputs.
        """

    @abstractmethod
    def accuracy(self, index: int, context: RunContext) -> float | None:
        """Return the share of test inputs that a site's network completes correctly with nothing swapped.

        It is `None` where the correct output is unknown, or the site is a recording.
        """

    @property
    @abstractmethod
    def notes(self) -> tuple[str, ...]:
        """Notes on data that were left out, assumed or filled in, one sentence each."""
