"""Procrustes distance."""

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike
from scipy.linalg import orthogonal_procrustes
from torch import Tensor

from causalign.errors import InvalidArgument
from causalign.similarity.samples import Samples, paired


def procrustes(x: ArrayLike | Tensor, y: ArrayLike | Tensor) -> float:
    """Return the Procrustes distance of two arrays of states: min over orthogonal Q of ||X - Y Q||.

    X and Y are centered and scaled to unit Frobenius norm. The narrower one is padded with zero columns.

    Args:
        x: The states `[samples, width]`.
        y: The states of the same samples, row by row. The width may differ.

    Returns:
        A distance in [0, sqrt(2)]. It is 0 if the two differ only by shift, rotation and scale.

    Raises:
        InvalidArgument: The inputs are not paired or not finite, there are fewer than 3 samples, or the states do not
            vary.
    """
    pair = paired(x, y)
    width = max(samples.shape[1] for samples in pair)
    a, b = (_normalised(samples, which, width) for which, samples in zip("xy", pair, strict=True))
    _, overlap = orthogonal_procrustes(b, a)
    return float(np.sqrt(max(0.0, 2 - 2 * overlap)))


def _normalised(samples: Samples, which: str, width: int) -> Float[np.ndarray, "samples padded"]:
    centred = samples - samples.mean(axis=0)
    norm = np.linalg.norm(centred)
    if norm < 1e-12 * max(1.0, np.abs(samples).max()):
        raise InvalidArgument(f"{which} does not vary over the samples: Procrustes is undefined")
    return np.pad(centred / norm, ((0, 0), (0, width - samples.shape[1])))
