"""Representational similarity analysis."""

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike
from scipy.spatial.distance import pdist
from scipy.stats import pearsonr, rankdata
from torch import Tensor

from causalign.errors import CausalignError, unknown
from causalign.evaluation._samples import Samples, paired, refuse_zero_rows

CORRELATIONS = ("spearman", "pearson")


def rdm(samples: Samples) -> Float[np.ndarray, " pairs"]:
    """The representational dissimilarity matrix, 1 - cosine, as its lower triangle (A.3)."""
    return pdist(samples, "cosine")


def rsa(x: ArrayLike | Tensor, y: ArrayLike | Tensor, correlation: str = "spearman") -> float:
    """How alike two representations order (or space) the same samples: the correlation of their RDMs (A.3).

    Args:
        x: states `[samples, width]`.
        y: states of the same samples, row by row; the width may differ.
        correlation: Spearman's rank correlation, the paper's, or Pearson's.

    Returns:
        A correlation in [-1, 1].

    Raises:
        CausalignError: unpaired or non-finite input, an all-zero sample, an unknown correlation, or an RDM without
            variation.
    """
    if correlation not in CORRELATIONS:
        raise unknown("correlation", correlation, CORRELATIONS)
    pair = paired(x, y)
    for which, samples in zip("xy", pair, strict=True):
        refuse_zero_rows(samples, which)
    distances = [rdm(samples) for samples in pair]
    for which, distance in zip("xy", distances, strict=True):
        if np.ptp(distance) < 1e-12:
            raise CausalignError(f"all samples of {which} are equally far from each other: no correlation is defined")
    if correlation == "spearman":
        distances = [rankdata(distance) for distance in distances]
    return float(pearsonr(distances[0], distances[1]).statistic)
