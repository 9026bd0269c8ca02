"""Centred kernel alignment."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike
from scipy.stats import zscore
from torch import Tensor

from causalign.errors import CausalignError, lookup
from causalign.evaluation._samples import Samples, paired

Kernel = Float[np.ndarray, "samples samples"]


def cka(x: ArrayLike | Tensor, y: ArrayLike | Tensor, kernel: str = "cosine", debiased: bool = False) -> float:
    """Centred kernel alignment (A.4, equations 17 to 19).

    CKA = HSIC(K, L) / sqrt(HSIC(K, K) HSIC(L, L)) with HSIC(K, L) = tr(K H L H) / (n - 1)^2 and H = I - 1/n.

    Args:
        x: states `[samples, width]`.
        y: states of the same samples, row by row; the width may differ.
        kernel: `cosine` of z-scored states, the paper's, from which units that never vary are left out; or `linear`.
        debiased: whether HSIC is estimated without the bias that few samples of many units have (Song et al. 2012).

    Returns:
        A similarity in [0, 1]; debiased, one that is 0 on average for independent states and may be below it.

    Raises:
        CausalignError: unpaired or non-finite input, fewer than 4 samples for the debiased estimate, states without any
            variation, or an unknown kernel.
    """
    kernel_of = lookup("kernel", kernel, KERNELS)
    given = paired(x, y, fewest=4 if debiased else 3)
    for which, samples in zip("xy", given, strict=True):
        if not _varying(samples).any():
            raise CausalignError(f"no unit of {which} varies over the samples: CKA is undefined")
    k, m = (kernel_of(samples) for samples in given)
    hsic = _unbiased_hsic if debiased else _hsic
    own = hsic(k, k) * hsic(m, m)
    if not own > 0:
        raise CausalignError("the debiased CKA of these samples is undefined: they are too few")
    return float(hsic(k, m) / np.sqrt(own))


def _varying(samples: Samples) -> np.ndarray:
    return np.ptp(samples, axis=0) > 1e-12 * np.abs(samples).max(axis=0)


def _cosine(samples: Samples) -> Kernel:
    scored = zscore(samples[:, _varying(samples)], axis=0)
    norms = np.linalg.norm(scored, axis=1, keepdims=True)
    unit = np.divide(scored, norms, out=np.zeros_like(scored), where=norms > 0)
    return unit @ unit.T


def _linear(samples: Samples) -> Kernel:
    centred = samples - samples.mean(axis=0)
    return centred @ centred.T


KERNELS: dict[str, Callable[[Samples], Kernel]] = {"cosine": _cosine, "linear": _linear}


def _hsic(k: Kernel, m: Kernel) -> float:
    """tr(K H L H), without the factor that cancels: H K H has both means subtracted, and H L H is not needed then."""
    centred = k - k.mean(axis=0) - k.mean(axis=1, keepdims=True) + k.mean()
    return float(np.vdot(centred, m))


def _unbiased_hsic(k: Kernel, m: Kernel) -> float:
    """HSIC_1 of Song et al. (2012), without the factor that cancels: no sample is compared with itself."""
    n = len(k)
    k, m = k - np.diag(np.diag(k)), m - np.diag(np.diag(m))
    sums_k, sums_m = k.sum(axis=0), m.sum(axis=0)
    product = sums_k.sum() * sums_m.sum() / ((n - 1) * (n - 2))
    return float(np.vdot(k, m) + product - 2 / (n - 2) * (sums_k @ sums_m))
