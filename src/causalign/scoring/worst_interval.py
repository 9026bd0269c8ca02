"""The confidence interval of the headline: the IIA of the worst of several directions and variables."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from causalign.errors import InvalidArgument


def worst_interval(
    iia: Sequence[float] | Float[np.ndarray, " scores"],
    rows: Sequence[int] | Int[np.ndarray, " scores"],
    confidence: float = 0.95,
) -> tuple[float, float]:
    """Return an exact confidence interval of the least of several accuracies.

    With the one-sided bounds of Clopper and Pearson (1934) for each accuracy, and `alpha = 1 - confidence`,

        low  = min_k L_k(alpha / 2),        high = min_k U_k(alpha / 2K).

    The least accuracy `p_m` is below `low` only if it is below its own `L_m`, so that the lower bounds need no
    adjustment (the principle of intersection and union: Berger, 1982). It is above `high` only if one of K accuracies
    is above its own bound, which Bonferroni's adjustment covers. The coverage is at least `confidence` for any number
    of rows and any dependence between the directions, if the rows of each are independent draws.

    Args:
        iia: The measured accuracy of each direction and variable.
        rows: The number of rows of each.
        confidence: The coverage.

    Raises:
        InvalidArgument: There is no accuracy, one has no rows, an accuracy is not a share of its rows, or the
            confidence is not between 0 and 1.
    """
    from scipy.special import betaincinv  # scipy takes long to import

    counts, totals = np.rint(np.multiply(iia, rows)), np.asarray(rows, dtype=float)
    if not len(totals) or (totals < 1).any() or (counts < 0).any() or (counts > totals).any() or not 0 < confidence < 1:
        raise InvalidArgument(
            "an interval needs accuracies from 0 to 1 with at least one row each, and a confidence between 0 and 1; "
            f"found {list(iia)} of {list(rows)} rows, {confidence}"
        )
    tail = (1 - confidence) / 2
    # The two ends at 0 and 1 are not in the domain of the inverse.
    low = np.where(counts > 0, betaincinv(np.maximum(counts, 1), totals - counts + 1, tail), 0.0)
    misses = np.maximum(totals - counts, 1)
    high = np.where(counts < totals, betaincinv(counts + 1, misses, 1 - tail / len(totals)), 1.0)
    return float(low.min()), float(high.min())
