"""Crossnobis distances: squared distances between conditions without the bias of noise (Walther et al. 2016)."""

from typing import Any

import numpy as np
from jaxtyping import Float, Int, Shaped

from causalign.arrays import float64
from causalign.errors import InvalidArgument
from causalign.similarity.samples import Samples


def crossnobis(
    x: Any, conditions: Any, folds: Any, *, precision: Float[np.ndarray, "width width"] | None = None
) -> Float[np.ndarray, " pairs"]:
    """Return the cross-validated squared distance of each pair of conditions, divided by the width.

    d_ij = mean over folds f of (m_i^f - m_j^f) P (m_i^r - m_j^r)^T / width, with the mean states m^f of a condition in
    a fold and m^r in the other folds, and the precision P of the noise. The noise of a fold is independent of that of
    the others, so equal conditions have a distance of 0 on average. Distances may be negative.

    Args:
        x: The states `[trials, width]`.
        conditions: The condition of each trial.
        folds: The fold of each trial, such as the run. Every condition occurs in every fold.
        precision: The inverse covariance of the noise (`noise_precision`). By default the identity, which gives
            cross-validated Euclidean distances.

    Returns:
        The distances of pairs (0, 1), (0, 2), ..., (1, 2), ... of the conditions in their sorted order.

    Raises:
        InvalidArgument: The states are not a finite matrix with a row for each condition and fold, there are fewer than
            two folds or conditions, or a condition is missing in a fold.
    """
    samples, condition, names = labelled_samples(x, conditions)
    fold, fold_names = _labels(folds, len(samples), "folds")
    if len(fold_names) < 2:
        raise InvalidArgument(f"cross-validated distances need at least 2 folds, found {len(fold_names)}")
    cell = fold * len(names) + condition
    counts = np.bincount(cell, minlength=len(fold_names) * len(names)).reshape(len(fold_names), len(names))
    if not counts.all():
        missing = np.argwhere(counts == 0)[0]
        condition_name, fold_name = names.tolist()[missing[1]], fold_names.tolist()[missing[0]]
        raise InvalidArgument(f"condition {condition_name!r} does not occur in fold {fold_name!r}")
    of_cells = np.zeros((counts.size, samples.shape[1]))
    np.add.at(of_cells, cell, samples)
    sums = of_cells.reshape(*counts.shape, -1)
    total, total_count = sums.sum(axis=0), counts.sum(axis=0)
    rdms = []
    for of_fold, count in zip(sums, counts, strict=True):
        test, rest = of_fold / count[:, None], (total - of_fold) / (total_count - count)[:, None]
        kernel = rest @ (test.T if precision is None else precision @ test.T)
        own = kernel.diagonal()
        distances = own[:, None] + own - kernel - kernel.T
        rdms.append(distances[np.triu_indices(len(names), 1)])
    return np.mean(rdms, axis=0) / samples.shape[1]


def noise_precision(x: Any, conditions: Any) -> Float[np.ndarray, "width width"]:
    """Return the inverse covariance of the noise: of the states around the mean of their condition.

    The covariance is shrunk towards its diagonal by the optimal share of Schaefer and Strimmer (2005), so that it can
    be inverted with fewer trials than units.

    Args:
        x: The states `[trials, width]`.
        conditions: The condition of each trial.

    Raises:
        InvalidArgument: There are as many conditions as trials, or a unit does not vary within conditions.
    """
    samples, condition, names = labelled_samples(x, conditions)
    freedom = len(samples) - len(names)
    if freedom < 1:
        raise InvalidArgument(f"{len(samples)} trials of {len(names)} conditions have no noise; repeats are needed")
    means = np.zeros((len(names), samples.shape[1]))
    np.add.at(means, condition, samples)
    means /= np.bincount(condition)[:, None]
    noise = samples - means[condition]
    products = noise.T @ noise
    variance = products.diagonal() / freedom
    if not (variance > 0).all():
        raise InvalidArgument(f"{int((variance <= 0).sum())} units do not vary within conditions; leave them out")
    standard = noise / np.sqrt(variance)
    first, second = (
        standard.T @ standard / (len(noise) - 1),
        np.square(standard).T @ np.square(standard) / (len(noise) - 1),
    )
    off = ~np.eye(len(variance), dtype=bool)
    spread = len(noise) / freedom**2 * (second - np.square(first))
    total = np.square(first[off]).sum()
    share = float(np.clip(spread[off].sum() / total, 0, 1)) if total > 0 else 1.0
    return np.linalg.inv(products / freedom * np.where(off, 1 - share, 1.0))


def labelled_samples(x: Any, conditions: Any) -> tuple[Samples, Int[np.ndarray, " samples"], Shaped[np.ndarray, " _"]]:
    """Return a finite matrix of states, the index of each state's condition, and the conditions in order.

    Raises:
        InvalidArgument: The states are not a finite matrix, or there are not as many conditions as rows, or one only.
    """
    samples = float64(x, "x")
    if samples.ndim != 2 or not np.isfinite(samples).all():
        raise InvalidArgument(f"x must be [trials, width] and finite, found the shape {list(samples.shape)}")
    condition, names = _labels(conditions, len(samples), "conditions")
    if len(names) < 2:
        raise InvalidArgument(f"distances need at least 2 conditions, found {len(names)}")
    return samples, condition, names


def _labels(labels: Any, trials: int, what: str) -> tuple[Int[np.ndarray, " trials"], Shaped[np.ndarray, " _"]]:
    found = np.asarray(labels)
    if found.shape != (trials,):
        raise InvalidArgument(f"{what} must have one entry for each of {trials} trials, found {list(found.shape)}")
    names, index = np.unique(found, return_inverse=True)
    return index.astype(np.int64), names
