"""One-sided tests that one accuracy exceeds another by more than a margin, on the same rows or on other rows.

Without a margin they are exact: McNemar's test on the rows in which the outcomes differ, and Fisher's. With a margin
they are score tests, whose variance is that of the likeliest accuracies at that margin: Tango (1998) for the same rows,
and Farrington and Manning (1990) for other rows. scipy has neither. statsmodels 0.15 has the latter only, and its
p-value changes with the order of the two if their numbers of rows differ.
"""

import numpy as np
from jaxtyping import Float, Int


def paired_p(
    only_first: Int[np.ndarray, "..."], only_second: Int[np.ndarray, "..."], rows: Int[np.ndarray, "..."], margin: float
) -> Float[np.ndarray, "..."]:
    """Return the p-value of the hypothesis that first - second is at most `margin`, on the same rows.

    Args:
        only_first: The number of rows that are right in the first only.
        only_second: The number of rows that are right in the second only.
        rows: The number of rows.
        margin: The difference under the hypothesis. At 0 the test is McNemar's exact test.
    """
    from scipy.stats import binom, norm  # takes half a second to import

    if margin == 0:
        return np.asarray(binom.sf(only_first - 1, only_first + only_second, 0.5))
    discordant = only_first + only_second
    linear = (2 * rows - only_first + only_second) * margin - discordant
    constant = -only_second * margin * (1 - margin)
    root = np.sqrt(np.maximum(linear**2 - 8 * rows * constant, 0))
    second = (root - linear) / (4 * rows)  # the likeliest share of rows that are right in the second only
    variance = np.maximum(2 * second + margin - margin**2, 0) / rows
    return np.asarray(norm.sf(_standardized((only_first - only_second) / rows - margin, variance)))


def unpaired_p(
    first: tuple[Int[np.ndarray, "..."], Int[np.ndarray, "..."]],
    second: tuple[Int[np.ndarray, "..."], Int[np.ndarray, "..."]],
    margin: float,
) -> Float[np.ndarray, "..."]:
    """Return the p-value of the hypothesis that first - second is at most `margin`, on independent rows.

    Args:
        first: The number of rows that are right in the first, and of all its rows.
        second: The same of the second.
        margin: The difference under the hypothesis. At 0 the test is Fisher's exact test.
    """
    from scipy.stats import hypergeom, norm  # takes half a second to import

    (right_a, rows_a), (right_b, rows_b) = first, second
    if margin == 0:
        return np.asarray(hypergeom.sf(right_a - 1, rows_a + rows_b, right_a + right_b, rows_a))
    share_a, share_b = right_a / rows_a, right_b / rows_b
    likeliest = _likeliest_first(share_a, share_b, rows_b / rows_a, margin)
    other = likeliest - margin
    variance = likeliest * (1 - likeliest) / rows_a + other * (1 - other) / rows_b
    return np.asarray(norm.sf(_standardized(share_a - share_b - margin, variance)))


def _likeliest_first(
    first: Float[np.ndarray, "..."], second: Float[np.ndarray, "..."], ratio: Float[np.ndarray, "..."], margin: float
) -> Float[np.ndarray, "..."]:
    """Return the likeliest first share if it exceeds the second by `margin`: the root of a cubic equation.

    `ratio` is the number of rows of the second over that of the first. Farrington and Manning (1990), appendix.
    """
    a = 1 + ratio
    b = -(1 + ratio + first + ratio * second + margin * (ratio + 2))
    c = margin**2 + margin * (2 * first + ratio + 1) + first + ratio * second
    d = -first * margin * (1 + margin)
    v = (b / (3 * a)) ** 3 - b * c / (6 * a**2) + d / (2 * a)
    u = np.copysign(np.sqrt(np.maximum((b / (3 * a)) ** 2 - c / (3 * a), 0)), v)
    cosine = np.divide(v, u**3, out=np.ones_like(v), where=u != 0)
    angle = (np.pi + np.arccos(np.clip(cosine, -1, 1))) / 3
    return np.clip(2 * u * np.cos(angle) - b / (3 * a), max(0.0, margin), min(1.0, 1 + margin))


def _standardized(difference: Float[np.ndarray, "..."], variance: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    """Return the difference over its standard error. Without a variance it is infinite, or 0 where nothing differs."""
    differs = np.abs(difference) > 1e-12
    without = np.where(differs, np.copysign(np.inf, difference), 0.0)
    error = np.sqrt(np.maximum(variance, 0))
    return np.divide(difference, error, out=without, where=error > 1e-12)
