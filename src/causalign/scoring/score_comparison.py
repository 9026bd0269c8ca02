"""The comparison of two headlines: their difference, its interval, and what tests say of it."""

from collections.abc import Sequence
from dataclasses import dataclass

from causalign.errors import InvalidArgument
from causalign.scoring.worst_difference import Line, WorstDifference

_LEAST_P = 1e-16  # smaller ones are beyond double precision, and are not told apart


@dataclass(frozen=True)
class ScoreComparison:
    """The difference of two scores: the worst IIA of two alignments, or of an alignment and its control.

    Attributes:
        first: The first score.
        second: The second score.
        difference: The first less the second.
        ci_low: The lower end of the 95 % interval of the difference.
        ci_high: The upper end of the interval.
        p_greater: The p-value of the hypothesis that the first is at most the second. A small one says that the first
            is greater. The test is exact.
        p_less: The same of the hypothesis that the first is at least the second.
        margin: The difference that still counts as equal. `None` if none was named.
        p_noninferior: The p-value of the hypothesis that the first is below the second by the margin or more. A small
            one says that the first is as good as the second, or better.
        p_equivalent: The p-value of two one-sided tests that the scores differ by the margin or more. A small one says
            that they are equal within the margin.
        paired: Whether outcomes of the same rows were compared. `None` if this holds for some directions only.
        rows: The number of rows of the shortest direction and variable.
    """

    first: float
    second: float
    difference: float
    ci_low: float
    ci_high: float
    p_greater: float
    p_less: float
    margin: float | None
    p_noninferior: float | None
    p_equivalent: float | None
    paired: bool | None
    rows: int

    @property
    def p(self) -> float:
        """The two-sided p-value of the hypothesis that the scores are equal."""
        return min(1.0, 2 * min(self.p_greater, self.p_less))

    def __repr__(self) -> str:
        within = "" if self.p_equivalent is None else f", p(equal within {self.margin:g}) {p_text(self.p_equivalent)}"
        rows = {True: "the same rows", False: "other rows", None: "the same rows in some directions"}[self.paired]
        return (
            f"ScoreComparison({self.first:.3f} - {self.second:.3f} = {self.difference:.3f} "
            f"[{self.ci_low:.3f}, {self.ci_high:.3f}], p(not greater) {p_text(self.p_greater)}, "
            f"p(not less) {p_text(self.p_less)}{within}, {rows})"
        )


def score_comparison(first: Sequence[Line], second: Sequence[Line], margin: float | None = None) -> ScoreComparison:
    """Return the comparison of the least accuracies of two groups of directions and variables.

    Args:
        first: The outcomes of the first group.
        second: The outcomes of the second group.
        margin: The difference that still counts as equal.

    Raises:
        InvalidArgument: The margin is not between 0 and 1.
    """
    if margin is not None and not 0 < margin < 1:
        raise InvalidArgument(f"margin is the difference that counts as equal, above 0 and below 1; found {margin}")
    difference = WorstDifference(first, second)
    low, high = difference.interval()
    within = None if margin is None else (difference.p_greater(-margin), difference.p_less(-margin))
    return ScoreComparison(
        first=min(line.accuracy for line in first),
        second=min(line.accuracy for line in second),
        difference=difference.value,
        ci_low=low,
        ci_high=high,
        p_greater=difference.p_greater(),
        p_less=difference.p_less(),
        margin=margin,
        p_noninferior=None if within is None else within[0],
        p_equivalent=None if within is None else max(within),
        paired=difference.paired,
        rows=min(line.rows for line in (*first, *second)),
    )


def p_text(p: float) -> str:
    """Return a p-value with its relation, as `= 0.012` or `< 1e-16`. No p-value is 0."""
    return f"< {_LEAST_P:.0e}" if p < _LEAST_P else f"= {p:.2g}"
