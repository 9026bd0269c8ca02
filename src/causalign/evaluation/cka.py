"""Centred kernel alignment."""

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike
from scipy.stats import zscore
from torch import Tensor

from causalign.errors import CausalignError
from causalign.evaluation._samples import Samples, paired


def cka(x: ArrayLike | Tensor, y: ArrayLike | Tensor) -> float:
    """Centred kernel alignment with cosine kernels of z-scored states (A.4, equations 17 to 19).

    CKA = HSIC(K, L) / sqrt(HSIC(K, K) HSIC(L, L)) with HSIC(K, L) = tr(K H L H) / (n - 1)^2 and H = I - 1/n.
    Units that never vary say nothing and are left out.

    Args:
        x: states `[samples, width]`.
        y: states of the same samples, row by row; the width may differ.

    Returns:
        A similarity in [0, 1].

    Raises:
        CausalignError: unpaired or non-finite input, or states without any variation.
    """
    kernels = [_centred_kernel(samples, which) for which, samples in zip("xy", paired(x, y), strict=True)]
    cross, own_x, own_y = (np.vdot(k, m) for k, m in ((kernels[0], kernels[1]), (kernels[0],) * 2, (kernels[1],) * 2))
    return float(cross / np.sqrt(own_x * own_y))


def _centred_kernel(samples: Samples, which: str) -> Float[np.ndarray, "samples samples"]:
    varying = np.ptp(samples, axis=0) > 1e-12 * np.abs(samples).max(axis=0)
    if not varying.any():
        raise CausalignError(f"no unit of {which} varies over the samples: CKA is undefined")
    scored = zscore(samples[:, varying], axis=0)
    norms = np.linalg.norm(scored, axis=1, keepdims=True)
    unit = np.divide(scored, norms, out=np.zeros_like(scored), where=norms > 0)
    kernel = unit @ unit.T
    # H K H: both means subtracted; tr(KHLH) is then the sum of the entrywise product, and (n - 1)^2 cancels.
    return kernel - kernel.mean(axis=0) - kernel.mean(axis=1, keepdims=True) + kernel.mean()
