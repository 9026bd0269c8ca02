"""Upper bounds of the IIA between networks whose codes are known, by arguments that involve no search.

Let y be what the target's readout sees after a swap. Whatever the subspaces and scales, y is an affine function of the
source's code if everything else is kept: the target's input, the source's other variable, and all noise. As the values
of a row are independent, the IIA is at most the share of values for which one such function can be right.
"""

from itertools import combinations

import numpy as np
from jaxtyping import Float

_ROUNDS, _EXACT = 100, 1e-9


def affine_ceiling(
    source: Float[np.ndarray, "values _"], target: Float[np.ndarray, "values _"], tolerance: float
) -> float:
    """Return the largest share of values that one affine map brings within the tolerance of their target code.

    All subsets of values are tried, the largest first.

    Args:
        source: The code of each value in the sender.
        target: The code of each value in the receiver.
        tolerance: The distance within which the receiver reads a code.
    """
    values = len(source)
    for size in range(values, 1, -1):
        subsets = [list(some) for some in combinations(range(values), size)]
        if any(affine_distance(source[some], target[some], tolerance) < tolerance for some in subsets):
            return size / values
    return 1 / values


def affine_distance(
    source: Float[np.ndarray, "values _"], target: Float[np.ndarray, "values _"], enough: float = np.inf
) -> float:
    """Return a lower bound of the largest distance between M source[v] + t and target[v], for the best M and t.

    For any weights w that sum to 1, the root of the weighted mean of squared distances is at most their maximum. The
    map that minimizes this mean is a weighted regression, whose error therefore is a lower bound for all maps. Lawson's
    iteration (w <- w * distance) raises it to the least largest distance.

    Args:
        source: The points that are mapped.
        target: Where each should come to.
        enough: The bound at which the iteration ends. It also ends where a map comes nearer than this.
    """
    inputs = np.concatenate([source, np.ones((len(source), 1))], axis=1)
    weights, bound = np.full(len(source), 1 / len(source)), 0.0
    for _ in range(_ROUNDS):
        root = np.sqrt(weights)[:, None]
        fit = np.linalg.lstsq(root * inputs, root * target, rcond=None)[0]
        distances = np.linalg.norm(inputs @ fit - target, axis=1)
        bound = max(bound, float(np.sqrt(weights @ distances**2)))
        if bound >= enough or distances.max() < enough < np.inf or distances.max() < _EXACT:
            break
        weights = np.maximum(weights * distances, 1e-12 * distances.sum())
        weights /= weights.sum()
    return bound


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
