"""The largest share of values that an affine map can carry from one code into another."""

from itertools import combinations

import numpy as np
from jaxtyping import Float

_ROUNDS = 200  # of Lawson's iteration, which comes within a few thousandths of the minimax fit


def affine_ceiling(
    source: Float[np.ndarray, "values _"], target: Float[np.ndarray, "values _"], tolerance: float
) -> float:
    """Return the largest share of values that one affine map brings within the tolerance of their target code.

    A swap of a subspace leaves the receiver's code at M c_s(v) + t: M is linear, and t is of the target input alone.
    So no swap can be right for a larger share of the source's values, whatever the subspaces are.

    Args:
        source: The code of each value in the sender.
        target: The code of each value in the receiver.
        tolerance: The distance within which the receiver reads a code.
    """
    values = len(source)
    for size in range(values, 1, -1):
        if any(_fits(source[list(some)], target[list(some)], tolerance) for some in combinations(range(values), size)):
            return size / values
    return 1 / values


def _fits(source: Float[np.ndarray, "some _"], target: Float[np.ndarray, "some _"], tolerance: float) -> bool:
    """Whether an affine map brings every point within the tolerance, by Lawson's reweighted least squares."""
    inputs = np.concatenate([source, np.ones((len(source), 1))], axis=1)
    weights = np.full(len(source), 1 / len(source))
    for _ in range(_ROUNDS):
        root = np.sqrt(weights)[:, None]
        fit = np.linalg.lstsq(root * inputs, root * target, rcond=None)[0]
        distances = np.linalg.norm(inputs @ fit - target, axis=1)
        if distances.max() <= tolerance:
            return True
        if np.sqrt(weights @ distances**2) > tolerance:  # a lower bound of the largest distance of any map
            return False
        weights = weights * distances
        weights /= weights.sum()
    return True  # so near that it is not known: the ceiling is rather too high
