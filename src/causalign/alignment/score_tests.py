"""Tests of the headline of one alignment against that of another."""

from causalign.alignment.outcome_lines import outcome_lines
from causalign.alignment.result import Alignment
from causalign.scoring.score_comparison import ScoreComparison, score_comparison


def compare_scores(
    first: Alignment,
    second: Alignment,
    *,
    direction: tuple[int, int] | None = None,
    variable: str | None = None,
    margin: float | None = None,
) -> ScoreComparison:
    """Test whether the worst IIA of one alignment differs from that of another.

    Outcomes are paired by row where both alignments are of the same dataset: the tests are McNemar's, and Tango's with
    a margin. Other rows are taken as independent: the tests are Fisher's, and Farrington and Manning's. All directions
    and variables of both count, so that the test of two worst scores is adjusted for their number
    (`scoring.worst_difference`).

    Args:
        first: An alignment.
        second: Another alignment, such as one with a third network.
        direction: The indices of source and target of the only direction that is compared. By default the worst IIA of
            all trained directions is.
        variable: The only variable, as the table `iia` names it. By default the worst of all.
        margin: The difference that still counts as equal, such as 0.02. It adds the tests of equivalence.

    Returns:
        The difference of the scores, its 95 % interval, and the p-values of the tests.

    Raises:
        InvalidArgument: There is no such direction or variable, no IIA, or the margin is not between 0 and 1.
    """
    ours, theirs = (outcome_lines(each.record, each.outcomes, direction, variable) for each in (first, second))
    return score_comparison(ours, theirs, margin)
