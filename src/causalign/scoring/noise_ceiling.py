"""The noise ceiling of a comparison with recordings, from halves of their trials."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from causalign.errors import CausalignError
from causalign.random_streams import numpy_stream
from causalign.scoring.condition_means import FEWEST, ConditionMeans
from causalign.scoring.measure import Measure

HALVINGS = 50
_MOST = 0.95  # quantile of the halvings that the upper bound takes

Halves = Sequence[tuple[Float[np.ndarray, "_ _"], Float[np.ndarray, "_ _"]]]
"""The mean states over each half of the trials, for several halvings."""


def halvings(side: ConditionMeans, seed: int) -> Halves:
    """Return the mean states over random halves of the trials, of the conditions that both halves have."""
    found = []
    for index in range(HALVINGS):
        first, second = side.halves(numpy_stream(seed, "similarity", "halves", index))
        there = ~(np.isnan(first).any(axis=1) | np.isnan(second).any(axis=1))
        if there.sum() >= FEWEST:
            found.append((first[there], second[there]))
    return found


def ceiling(measure: Measure, recorded: Sequence[Halves]) -> tuple[float, float]:
    """Return the lower and the upper bound of the score that a model without noise has.

    Let h be the measure between two halves of a recording's trials. All trials together are more reliable. The noise of
    a dissimilarity has a part that falls with the number of trials, and a part that falls with its square. If there
    were only the first, the measure between two such recordings would be 2h / (1 + h) (Spearman and Brown); if there
    were only the second, 4h / (1 + 3h). The score of the true states is the root of this reliability.

    * The lower bound is 2h / (1 + h), the score of a second recording with as many trials; h is the mean over halvings.
    * The upper bound is the root of 4h / (1 + 3h), with the 95 % quantile of h, because h is uncertain.

    Of two recordings, the lower bound is that of the noisier one, and the upper bound is the product of both.

    Args:
        measure: The measure.
        recorded: The halves of each recording.

    Returns:
        NaN if the measure is biased by noise, or conditions have too few repeats to be halved.
    """
    if not measure.unbiased or not all(recorded):
        return np.nan, np.nan
    lows, highs = [], []
    for halves in recorded:
        try:
            scores = np.array([measure(*pair) for pair in halves])
        except CausalignError:  # a condition is silent in one half
            return np.nan, np.nan
        mean, most = max(float(scores.mean()), 0.0), max(float(np.quantile(scores, _MOST)), 0.0)
        lows.append(2 * mean / (1 + mean))
        highs.append(np.sqrt(4 * most / (1 + 3 * most)))
    return min(lows), float(np.prod(highs))
