"""Inner products of Gram matrices, from which CKA and Pearson's RSA are computed."""

import numpy as np
from jaxtyping import Float

from causalign.similarity.samples import SamplesX, SamplesY

_BLOCK = 2**25  # entries of a Gram matrix that are held at once: 256 MiB


def overlaps(x: SamplesX, y: SamplesY) -> Float[np.ndarray, "2 2"]:
    """Return the inner products <K, K>, <K, L> and <L, L> of the Gram matrices K = X X^T and L = Y Y^T.

    Since <X X^T, Y Y^T> = ||X^T Y||^2, no matrix of samples by samples is needed. If the states are so wide that the
    Gram matrices are cheaper, they are computed in blocks.
    """
    samples, width_x, width_y = len(x), x.shape[1], y.shape[1]
    if width_x**2 + width_x * width_y + width_y**2 <= samples * (width_x + width_y):
        xx, xy, yy = (float(np.square(left.T @ right).sum()) for left, right in ((x, x), (x, y), (y, y)))
        return np.array([[xx, xy], [xy, yy]])
    total = np.zeros((2, 2))
    rows = max(1, _BLOCK // samples)
    for start in range(0, samples, rows):
        k, m = (side[start : start + rows] @ side.T for side in (x, y))
        total += [[np.vdot(k, k), np.vdot(k, m)], [np.vdot(m, k), np.vdot(m, m)]]
    return total


def self_products(x: SamplesX, y: SamplesY) -> Float[np.ndarray, "2 samples"]:
    """Return the diagonals of both Gram matrices: the squared length of every sample."""
    return np.stack([np.square(side).sum(axis=1) for side in (x, y)])
