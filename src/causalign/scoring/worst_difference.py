"""The difference of two headlines: tests that one worst accuracy exceeds another, and an interval of the difference."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from causalign.scoring.difference_test import paired_p, unpaired_p

_TAIL = 0.025
_HALVINGS = 26  # halvings of the range from -1 to 1, which end below 1e-7


@dataclass(frozen=True, eq=False)
class Line:
    """The outcomes of the rows of one direction and variable.

    Attributes:
        right: The number of rows that are right.
        rows: The number of rows.
        outcomes: Whether each row is right, to pair it with the same row of another line. `None` if only the numbers
            are known.
        key: What names the rows. Lines with the same key have the same rows in the same order. `None` is no key.
    """

    right: int
    rows: int
    outcomes: Bool[np.ndarray, " rows"] | None = None
    key: object = None

    @property
    def accuracy(self) -> float:
        """The share of rows that are right."""
        return self.right / self.rows


class WorstDifference:
    """The difference of the least accuracies of two groups of lines.

    The first exceeds the second by more than a margin if some line `l` of the second group is exceeded by every line
    `k` of the first. With the p-values `p_kl` that single lines differ by more than the margin, the p-value

        p = max_k min(1, L min_l p_kl)

    is valid for any dependence between lines: Bonferroni's adjustment over the L lines of the second group, and the
    principle of intersection and union over those of the first (Berger, 1982).

    Attributes:
        paired: Whether every two lines have the same rows, the same in some pairs (`None`), or in none.
    """

    def __init__(self, first: Sequence[Line], second: Sequence[Line]) -> None:
        self._lines = list(first), list(second)
        same = np.array([[_same_rows(a, b) for b in second] for a in first])
        self.paired: bool | None = True if same.all() else None if same.any() else False
        self._same = same
        self._counts = [np.array([[line.right, line.rows] for line in lines]).T for lines in self._lines]
        alone = [[_discordant(a, b) if _same_rows(a, b) else (0, 0) for b in second] for a in first]
        self._discordant = np.array(alone).transpose(2, 0, 1)

    @property
    def value(self) -> float:
        """The difference of the least accuracies."""
        first, second = (min(line.accuracy for line in lines) for lines in self._lines)
        return first - second

    def p_greater(self, margin: float = 0.0) -> float:
        """Return the p-value of the hypothesis that the first is at most the second plus the margin.

        The test is exact without a margin, and a score test with one (`difference_test`).
        """
        return _combined(self._p(margin, forward=True))

    def p_less(self, margin: float = 0.0) -> float:
        """Return the p-value of the hypothesis that the second is at most the first plus the margin."""
        return _combined(self._p(margin, forward=False).T)

    def interval(self) -> tuple[float, float]:
        """Return the 95 % interval: the margins that the tests of neither side reject at 2.5 %."""
        return _least(self.p_greater), -_least(self.p_less)

    def _p(self, margin: float, forward: bool) -> Float[np.ndarray, "first second"]:
        """Return the p-values of each two lines: the first exceeds the second (forward), or the second the first."""
        (right_a, rows_a), (right_b, rows_b) = self._counts
        a, b = (right_a[:, None], rows_a[:, None]), (right_b[None], rows_b[None])
        only_a, only_b = self._discordant
        if forward:
            paired, unpaired = paired_p(only_a, only_b, rows_a[:, None], margin), unpaired_p(a, b, margin)
        else:
            paired, unpaired = paired_p(only_b, only_a, rows_a[:, None], margin), unpaired_p(b, a, margin)
        return np.where(self._same, paired, unpaired)


def _same_rows(first: Line, second: Line) -> bool:
    return first.key is not None and first.key == second.key and first.outcomes is not None


def _discordant(first: Line, second: Line) -> tuple[int, int]:
    """Return the numbers of rows that are right in the first only, and in the second only."""
    a, b = first.outcomes, second.outcomes
    if a is None or b is None:
        return 0, 0
    return int((a & ~b).sum()), int((b & ~a).sum())


def _combined(p: Float[np.ndarray, "first second"]) -> float:
    return float(np.minimum(1.0, p.shape[1] * p.min(axis=1)).max())


def _least(p_of_margin: Callable[[float], float]) -> float:
    """Return the largest margin that is exceeded significantly, by bisection: the p-value rises with the margin."""
    low, high = -1.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2 or 1e-9  # at a margin of 0 the test is another, the exact one
        low, high = (middle, high) if p_of_margin(middle) <= _TAIL else (low, middle)
    return low
