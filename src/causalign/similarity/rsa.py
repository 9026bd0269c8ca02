"""Representational similarity analysis."""

from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.spatial.distance import pdist

from causalign.errors import InvalidArgument, unknown
from causalign.similarity.gram import overlaps, self_products
from causalign.similarity.ranks import MOST, DoubledRanks, doubled_ranks
from causalign.similarity.samples import Samples, SamplesX, SamplesY, paired, refuse_zero_rows

CORRELATIONS = ("spearman", "pearson")

_PIECE = 2**18  # pairs that are correlated at once


def rdm(x: Any) -> Float[np.ndarray, " pairs"]:
    """Return the representational dissimilarity matrix (RDM), 1 - cosine, of all pairs of samples (A.3).

    The pairs are (0, 1), (0, 2), ..., (1, 2), ...

    Args:
        x: The states `[samples, width]`.

    Raises:
        InvalidArgument: The states are not a finite matrix, there are fewer than 3 samples, or a sample is all zero.
    """
    samples, _ = paired(x, x)
    refuse_zero_rows(samples, "x")
    return pdist(samples, "cosine")


def rsa(x: Any, y: Any, correlation: str = "spearman") -> float:
    """Return the correlation of the RDMs of two representations of the same samples (A.3).

    Spearman's correlation takes 16 bytes for each pair of samples (3 GiB for 20,000 samples). Pearson's takes the
    memory of a few copies of the states.

    Args:
        x: The states `[samples, width]`: an array of numpy, torch (of any precision), pandas, xarray, or a sparse one.
        y: The states of the same samples, row by row. The width may differ.
        correlation: `spearman` (of ranks, as in the paper) or `pearson`.

    Returns:
        A correlation in [-1, 1].

    Raises:
        InvalidArgument: The inputs are not paired or not finite, there are fewer than 3 samples, a sample is all zero,
            the correlation is unknown, an RDM does not vary, or there are more samples than can be ranked (46,341).
    """
    if correlation not in CORRELATIONS:
        raise unknown("correlation", correlation, CORRELATIONS)
    pair = paired(x, y)
    for which, samples in zip("xy", pair, strict=True):
        refuse_zero_rows(samples, which)
    return _spearman(*pair) if correlation == "spearman" else _pearson(*pair)


def _spearman(x: SamplesX, y: SamplesY) -> float:
    pairs = len(x) * (len(x) - 1) // 2
    if pairs > MOST:
        raise InvalidArgument(
            f"Spearman's RSA ranks the pairs of at most 46,341 samples, found {len(x):,}; draw fewer, or take 'pearson'"
        )
    ranks = [_distance_ranks(samples, which) for which, samples in zip("xy", (x, y), strict=True)]
    products = np.zeros((2, 2))
    for start in range(0, pairs, _PIECE):
        part = np.stack([side[start : start + _PIECE] for side in ranks]) - (pairs + 1.0)  # the mean of doubled ranks
        products += part @ part.T
    return _correlation(products)


def _distance_ranks(samples: Samples, which: str) -> DoubledRanks:
    distances = pdist(samples, "cosine")
    _refuse_equal(float(np.ptp(distances)), which)
    return doubled_ranks(distances)


def _pearson(x: SamplesX, y: SamplesY) -> float:
    if len(x) <= 1 + max(
        x.shape[1], y.shape[1]
    ):  # few samples can be nearly equidistant, and then only the RDM is accurate
        distances = [pdist(samples, "cosine") for samples in (x, y)]
        spreads = [float(np.ptp(distance)) for distance in distances]
        products = np.cov(distances)
    else:
        products = _covariances(_unit(x), _unit(y))
        spreads = [float(np.sqrt(max(0, variance))) for variance in products.diagonal()]
    for which, spread in zip("xy", spreads, strict=True):
        _refuse_equal(spread, which)
    return _correlation(products)


def _covariances(x: SamplesX, y: SamplesY) -> Float[np.ndarray, "2 2"]:
    """Return the variances and the covariance of two RDMs over all pairs of samples, from states of unit length.

    1 - cos is half the squared distance of unit states, which is (|a_i|^2 + |a_j|^2) / 2 - a_i.a_j of the centered
    states a. So the products of two such distances can be summed over all pairs without building the RDMs.
    """
    n = len(x)
    centred = [rows - rows.mean(axis=0) for rows in (x, y)]
    lengths = self_products(*centred)
    off_mean = lengths - lengths.mean(axis=1, keepdims=True)
    totals = lengths.sum(axis=1)
    sums = overlaps(*centred) + n / 2 * (off_mean @ off_mean.T) - np.outer(totals, totals) / (n - 1)
    return sums / (n * (n - 1))


def _unit(samples: Samples) -> Samples:
    return samples / np.linalg.norm(samples, axis=1, keepdims=True)


def _correlation(products: Float[np.ndarray, "2 2"]) -> float:
    return float(np.clip(products[0, 1] / np.sqrt(products[0, 0] * products[1, 1]), -1, 1))


def _refuse_equal(spread: float, which: str) -> None:
    if not spread >= 1e-12:  # or NaN, from states that are too small or too large to be squared
        raise InvalidArgument(f"all samples of {which} are equally far from each other: the correlation is undefined")
