"""Upper bounds of the IIA between networks whose codes are known, by arguments that involve no search.

Let y be what the target's readout sees after a swap. Whatever the subspaces and scales, y is an affine function of the
source's code if everything else is kept: the target's input, the source's other variable, and all noise. As the values
of a row are independent, the IIA is at most the share of values for which one such function can be right.
"""

from itertools import combinations

import numpy as np
from jaxtyping import Float

_ROUNDS = 100


def line_ceiling(
    levels: Float[np.ndarray, " values"], points: Float[np.ndarray, "values dimensions"], tolerance: float
) -> float:
    """Return the largest share of values v for which one line p + levels[v] q can come within `tolerance` of points[v].

    All subsets of values are tried, the largest first. It bounds the IIA from a network with a code of one dimension
    into a network with the code `points`.
    """
    values = len(levels)
    for size in range(values, 2, -1):
        subsets = np.array(list(combinations(range(values), size)))
        if (line_distances(levels[subsets], points[subsets]) < tolerance).any():
            return size / values
    return 2 / values


def line_distances(
    levels: Float[np.ndarray, "lines values"], points: Float[np.ndarray, "lines values dimensions"]
) -> Float[np.ndarray, " lines"]:
    """Return lower bounds of the largest distance between p + levels[v] q and points[v], for the best line p, q.

    For any weights w that sum to 1, the root of the weighted mean of squared distances is at most their maximum. The
    line that minimizes this mean is a weighted regression, whose error therefore is a lower bound for all lines.
    Lawson's iteration (w <- w * distance) raises it to the least largest distance.
    """
    weights = np.full(levels.shape, 1 / levels.shape[1])
    bounds = np.zeros(len(levels))
    for _ in range(_ROUNDS):
        mean_level = (weights * levels).sum(1, keepdims=True)
        mean_point = (weights[..., None] * points).sum(1, keepdims=True)
        apart, away = levels - mean_level, points - mean_point
        slope = ((weights * apart)[..., None] * away).sum(1) / (weights * apart**2).sum(1)[:, None]
        distances = np.linalg.norm(away - apart[..., None] * slope[:, None], axis=2)
        bounds = np.maximum(bounds, np.sqrt((weights * distances**2).sum(1)))
        total = (weights * distances).sum(1, keepdims=True)
        weights = np.where(total > 0, weights * distances / np.where(total > 0, total, 1), weights)
        weights = np.maximum(weights, 1e-12)  # a regression needs two points that have a weight
        weights /= weights.sum(1, keepdims=True)
    return bounds


def overlap_ceiling(cosine: float, values: int, tolerance: float) -> float:
    """Return an upper bound of the IIA of a variable whose direction is not orthogonal to that of another.

    Both have linear codes of spacing 1, along unit vectors u_a and u_b with u_a u_b = `cosine`. A swap within one
    network changes the state by P (h_s - h_t), with P symmetric. Let e_a be the distance, in the coordinates that are
    read, between P u_a and u_a, and e_b that between P u_b and 0. As u_b P u_a = u_a P u_b, and coordinates x make a
    state of length sqrt(1 + cosine) |x| at most,

        e_a + e_b >= cosine / sqrt(1 + cosine).

    With all else kept, the readouts of successive values of a of the source lie e_a apart on a line, seen from the
    codes that they should meet, and so do those of b, e_b apart. A disc of radius rho, the tolerance, meets at most
    ceil(2 rho / e) of them. The larger of e_a and e_b is at least half of their sum.
    """
    apart = cosine / np.sqrt(1 + cosine) / 2
    return min(1.0, float(np.ceil(2 * tolerance / apart)) / values)
