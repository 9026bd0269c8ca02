"""Centered kernel alignment."""

from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Float

from causalign.errors import InvalidArgument, lookup
from causalign.similarity.gram import overlaps, self_products
from causalign.similarity.samples import Samples, SamplesX, SamplesY, paired

Features = Float[np.ndarray, "samples features"]


def cka(x: Any, y: Any, kernel: str = "cosine", debiased: bool = False) -> float:
    """Return the centered kernel alignment of two arrays of states (A.4, equations 17 to 19).

    CKA = HSIC(K, L) / sqrt(HSIC(K, K) HSIC(L, L)) with HSIC(K, L) = tr(K H L H) / (n - 1)^2 and H = I - 1/n.
    No kernel is built: it is the Gram matrix K = U U^T of features U, one row a sample, and H U is U centered.

    Args:
        x: The states `[samples, width]`: an array of numpy, torch (of any precision), pandas, xarray, or a sparse one.
        y: The states of the same samples, row by row. The width may differ.
        kernel: `cosine` (of z-scored states without units that never vary, as in the paper) or `linear`.
        debiased: Whether to estimate HSIC without the bias that few samples of many units have (Song et al. 2012).

    Returns:
        A similarity in [0, 1]. The debiased estimate is 0 on average for independent states, and may be negative.

    Raises:
        InvalidArgument: The inputs are not paired or not finite, there are fewer than 3 samples (4 for the debiased
            estimate), the states do not vary, or the kernel is unknown.
    """
    features_of = lookup("kernel", kernel, KERNELS)
    pair = paired(x, y, fewest=4 if debiased else 3)
    for which, samples in zip("xy", pair, strict=True):
        if not _varying(samples).any():
            raise InvalidArgument(f"no unit of {which} varies over the samples: CKA is undefined")
    features = [features_of(samples) for samples in pair]
    centred = [rows - rows.mean(axis=0) for rows in features]
    hsic = _unbiased_hsic(*centred) if debiased else overlaps(*centred)  # common factors, which cancel, are left out
    own = hsic[0, 0] * hsic[1, 1]
    if not own > 0:
        raise InvalidArgument("the debiased CKA of these samples is undefined: they are too few")
    return float(hsic[0, 1] / np.sqrt(own))


def _varying(samples: Samples) -> np.ndarray:
    return np.ptp(samples, axis=0) > 1e-12 * np.abs(samples).max(axis=0)


def _cosine(samples: Samples) -> Features:
    from scipy.stats import zscore  # takes half a second to import

    scored = zscore(samples[:, _varying(samples)], axis=0)
    norms = np.linalg.norm(scored, axis=1, keepdims=True)
    return np.divide(scored, norms, out=np.zeros_like(scored), where=norms > 0)


KERNELS: dict[str, Callable[[Samples], Features]] = {"cosine": _cosine, "linear": lambda samples: samples}


def _unbiased_hsic(x: SamplesX, y: SamplesY) -> Float[np.ndarray, "2 2"]:
    """Return HSIC_1 of Song et al. (2012) of both kernels with themselves and each other.

    No sample is compared with itself. With the kernels' diagonals set to zero, K~ and L~, HSIC_1 is
    <K~, L~> + sum K~ sum L~ / ((n - 1)(n - 2)) - 2/(n - 2) (K~ 1).(L~ 1). Centering does not change it. The rows of a
    centered kernel sum to zero, so the rows of K~ sum to minus the diagonal.
    """
    n, diagonals = len(x), self_products(x, y)
    traces = diagonals.sum(axis=1)
    return overlaps(x, y) - n / (n - 2) * (diagonals @ diagonals.T) + np.outer(traces, traces) / ((n - 1) * (n - 2))
