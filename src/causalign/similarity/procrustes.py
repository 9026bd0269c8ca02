"""Procrustes distance."""

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike
from scipy.linalg import orthogonal_procrustes
from torch import Tensor

from causalign.errors import InvalidArgument
from causalign.similarity.samples import Samples, paired


def procrustes(x: ArrayLike | Tensor, y: ArrayLike | Tensor) -> float:
    """The distance that the best rotation leaves: min over orthogonal Q of ||X - Y Q||.

    X and Y are centred and scaled to unit Frobenius norm; the narrower one is padded with zero columns.

    Args:
        x: states `[samples, width]`.
        y: states of the same samples, row by row; the width may differ.

    Returns:
        A distance in [0, sqrt(2)]: 0 if the two differ by shift, rotation and scale only.

    Raises:
        InvalidArgument: unpaired or non-finite input, or states without any variation.
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
