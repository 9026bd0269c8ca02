"""Procrustes distance."""

from typing import Any

import numpy as np
from jaxtyping import Float

from causalign.errors import InvalidArgument
from causalign.similarity.samples import Samples, paired


def procrustes(x: Any, y: Any) -> float:
    """Return the Procrustes distance of two arrays of states: min over orthogonal Q of ||X - Y Q||.

    X and Y are centered and scaled to unit Frobenius norm. The narrower one is padded with zero columns.

    Args:
        x: The states `[samples, width]`: an array of numpy, torch (of any precision), pandas, xarray, or a sparse one.
        y: The states of the same samples, row by row. The width may differ.

    Returns:
        A distance in [0, sqrt(2)]. It is 0 if the two differ only by shift, rotation and scale.

    Raises:
        InvalidArgument: The inputs are not paired or not finite, there are fewer than 3 samples, or the states do not
            vary.
    """
    factors = [_factor(samples, which) for which, samples in zip("xy", paired(x, y), strict=True)]
    overlap = np.linalg.svd(factors[0] @ factors[1].T, compute_uv=False).sum()
    return float(np.sqrt(max(0.0, 2 - 2 * overlap)))


def _factor(samples: Samples, which: str) -> Float[np.ndarray, "small samples"]:
    """Return a matrix F with F^T F = X X^T, for the centered states X of unit norm: X^T itself, or the smaller R of it.

    The overlap of X and Y is the nuclear norm of X^T Y. Of wide states X^T = Q R with Q orthonormal, which leaves the
    nuclear norm as it is: R has a row for each sample, and not for each unit.
    """
    centred = samples - samples.mean(axis=0)
    norm = np.linalg.norm(centred)
    if norm < 1e-12 * np.abs(samples).max():
        raise InvalidArgument(f"{which} does not vary over the samples: Procrustes is undefined")
    columns = (centred / norm).T
    return np.asarray(np.linalg.qr(columns, mode="r")) if len(columns) > columns.shape[1] else columns
