"""Correlations of RDMs, plain or whitened, and the noise ceiling of several RDMs."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from causalign.arrays import float64
from causalign.errors import InvalidArgument, lookup

Distances = Float[np.ndarray, " pairs"]


def rdm_correlation(x: Any, y: Any, method: str = "spearman") -> float:
    """Return the correlation of two RDMs.

    Args:
        x: The distances of all pairs of conditions, such as those of `crossnobis`.
        y: The distances of the same pairs.
        method: `spearman`, `pearson`, or `whitened`: Pearson's correlation under the covariance V that the estimates of
            distances have because pairs share conditions (Diedrichsen et al. 2020). `whitened-cosine` is the same
            without centering, x' V^-1 y / sqrt(x' V^-1 x  y' V^-1 y): for distances whose zero means something, such
            as those of `crossnobis`.

    Raises:
        InvalidArgument: The RDMs are not finite or have another number of pairs, one does not vary (or is zero), or the
            method is unknown.
    """
    transform, weight, centers = lookup("method", method, METHODS)
    a, b = (_vector(rdm, which) for rdm, which in zip((x, y), "xy", strict=True))
    if len(a) != len(b):
        raise InvalidArgument(f"x and y are RDMs of {len(a)} and {len(b)} pairs; they must be of the same conditions")
    check = _varying if centers else _nonzero
    vectors = [check(transform(rdm), which) for rdm, which in zip((a, b), "xy", strict=True)]
    weighted = [weight(rdm) for rdm in vectors]
    own = [left @ right for left, right in zip(vectors, weighted, strict=True)]
    return float(np.clip(vectors[0] @ weighted[1] / np.sqrt(own[0] * own[1]), -1, 1))


def noise_ceiling(rdms: Sequence[Any], method: str = "spearman") -> tuple[float, float]:
    """Return the lower and the upper bound of the score that the true model has with several RDMs (Nili et al. 2014).

    The upper bound is the mean correlation of the RDMs with the mean of all of them (standardized or ranked first),
    which no model exceeds. The lower bound is that of each RDM with the mean of the others.

    Args:
        rdms: The RDMs of at least two subjects, sessions or halves: each the distances of the same pairs.
        method: `spearman` or `pearson`.

    Raises:
        InvalidArgument: There are fewer than two RDMs, or as `rdm_correlation`.
    """
    transform, *_ = lookup("method", method, {name: METHODS[name] for name in ("spearman", "pearson")})
    if len(rdms) < 2:
        raise InvalidArgument(f"a noise ceiling needs at least 2 RDMs, found {len(rdms)}")
    vectors = [_vector(rdm, f"RDM {index}") for index, rdm in enumerate(rdms)]
    if len({len(vector) for vector in vectors}) > 1:
        raise InvalidArgument("the RDMs have unequal numbers of pairs; they must be of the same conditions")
    centred = [_varying(transform(vector), f"RDM {index}") for index, vector in enumerate(vectors)]
    standard = [vector / vector.std() for vector in centred] if method == "pearson" else centred
    total = np.sum(standard, axis=0)
    upper = [rdm_correlation(total, vector, method) for vector in vectors]
    lower = [rdm_correlation(total - own, vector, method) for own, vector in zip(standard, vectors, strict=True)]
    return float(np.mean(lower)), float(np.mean(upper))


def _vector(rdm: Any, which: str) -> Distances:
    vector = float64(rdm, which)
    if vector.ndim != 1 or len(vector) < 3 or not np.isfinite(vector).all():
        raise InvalidArgument(
            f"{which} must be the distances of at least 3 pairs of conditions, found the shape {list(vector.shape)}"
        )
    return vector


def _varying(vector: Distances, which: str) -> Distances:
    centred = vector - vector.mean()
    if not np.abs(centred).max() > 1e-12 * np.abs(vector).max():
        raise InvalidArgument(f"all distances of {which} are equal: the correlation is undefined")
    return centred


def _nonzero(vector: Distances, which: str) -> Distances:
    largest = np.abs(vector).max()
    if not largest > 0:
        raise InvalidArgument(f"all distances of {which} are 0: the cosine is undefined")
    return vector / largest  # so that squares stay within the range of float64


def _ranks(vector: Distances) -> Distances:
    from scipy.stats import rankdata  # takes half a second to import

    return rankdata(vector)


def _same(vector: Distances) -> Distances:
    return vector


def _whitened(vector: Distances) -> Distances:
    """Return V^-1 d, with the covariance V_pq = (c_p . c_q)^2 of distances whose pairs have the contrasts c.

    V is 4 on its diagonal, 1 for pairs that share a condition, and 0 elsewhere: V = 2 I + B B^T with the incidence B of
    pairs and n conditions. Since B^T B = (n - 2) I + 1 1^T, V^-1 d = (d - B w) / 2 with w = (s - sum(s) / 2n) / n and
    the sums s = B^T d of each condition.
    """
    conditions = round((1 + np.sqrt(1 + 8 * len(vector))) / 2)
    if conditions * (conditions - 1) // 2 != len(vector):
        raise InvalidArgument(f"{len(vector)} distances are not those of all pairs of some conditions")
    first, second = np.triu_indices(conditions, 1)
    sums = np.bincount(first, vector, conditions) + np.bincount(second, vector, conditions)
    weight = (sums - sums.sum() / (2 * conditions)) / conditions
    return (vector - weight[first] - weight[second]) / 2


class _Method(NamedTuple):
    """A transformation of distances, a weight under which products are taken, and whether distances are centered."""

    transform: Callable[[Distances], Distances]
    weight: Callable[[Distances], Distances]
    centers: bool = True


METHODS: dict[str, _Method] = {
    "spearman": _Method(_ranks, _same),
    "pearson": _Method(_same, _same),
    "whitened": _Method(_same, _whitened),
    "whitened-cosine": _Method(_same, _whitened, centers=False),
}
