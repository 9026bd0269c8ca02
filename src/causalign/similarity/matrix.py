"""Similarities of each two of several arrays of states."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from causalign.errors import InvalidArgument


def similarity_matrix(
    arrays: Sequence[Any], measure: Callable[[Any, Any], float]
) -> Float[np.ndarray, "arrays arrays"]:
    """Return the measure of each two of several arrays of states, as a symmetric matrix.

    Args:
        arrays: The states of the same samples in each of several systems, `[samples, width]`.
        measure: A symmetric function of two arrays, such as `procrustes` (a metric), `rsa` or `cka`.

    Raises:
        InvalidArgument: There are no arrays, or as the measure.
    """
    if not len(arrays):
        raise InvalidArgument("a matrix of similarities needs at least one array")
    matrix = np.empty((len(arrays), len(arrays)))
    for i, x in enumerate(arrays):
        for j, y in enumerate(arrays[: i + 1]):
            matrix[i, j] = matrix[j, i] = measure(x, y)
    return matrix
