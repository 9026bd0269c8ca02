"""Products of the states of distinct trials, whose noise is independent: the distances that noise does not bias."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Int

from causalign.scoring.condition_means import ConditionMeans

Kernel = Float[np.ndarray, "values values"]


@dataclass(frozen=True, eq=False)
class TrialProducts:
    """The mean product of a state of one condition and a state of another, over all pairs of distinct trials.

    States are taken around the mean of all of them. With the sum s_ti and the number n_ti of the states of trial t and
    condition i, and S_i and N_i over all trials,

        K_ij = (S_i . S_j - sum_t s_ti . s_tj) / (N_i N_j - sum_t n_ti n_tj).

    It is the mean over all ways to divide the trials between two folds. Trials that are drawn several times are not
    distinct from themselves. The states of a network are without noise: their products are those of the means.

    Attributes:
        side: The sums of states by trial and condition.
    """

    side: ConditionMeans

    def distances(self, times: Int[np.ndarray, " trials"] | None = None) -> Kernel:
        """Return K_ii + K_jj - 2 K_ij over the width for each two conditions; NaN for one without two trials.

        Args:
            times: How often each trial is drawn. By default once.
        """
        kernel = self._kernel(np.ones(self.side.trials) if times is None else times.astype(np.float64))
        own = kernel.diagonal()
        return (own[:, None] + own - 2 * kernel) / self.side.sums.shape[1]

    def _kernel(self, times: Float[np.ndarray, " trials"]) -> Kernel:
        side = self._centered
        means = side.means(times)
        if not side.recorded:
            return means @ means.T
        number = np.bincount(side.value, side.counts * times[side.trial], minlength=side.values)
        sums = np.nan_to_num(means) * number[:, None]
        first, second, of_trial, products, counts = self._same_trial
        weight = np.square(times)[of_trial]
        cell, size = first * side.values + second, side.values**2
        same, pairs = (np.bincount(cell, each * weight, minlength=size) for each in (products, counts))
        above = sums @ sums.T - same.reshape(side.values, -1)
        below = np.outer(number, number) - pairs.reshape(side.values, -1)
        return np.divide(above, below, out=np.full_like(above, np.nan), where=below > 0.5)

    @cached_property
    def _centered(self) -> ConditionMeans:
        """The states around their mean. Distances do not depend on it, and products of large offsets lose digits."""
        side = self.side
        mean = side.sums.sum(axis=0) / side.counts.sum()
        return replace(side, sums=side.sums - side.counts[:, None] * mean)

    @cached_property
    def _same_trial(self) -> tuple[np.ndarray, ...]:
        """The conditions, the trial, the product of sums and the product of numbers of each pair within a trial."""
        side = self._centered
        order = np.argsort(side.trial, kind="stable")
        many = np.bincount(side.trial, minlength=side.trials)
        begin = np.cumsum(many) - many
        of = many[side.trial[order]]
        left = np.repeat(order, of)
        within = np.arange(len(left)) - np.repeat(np.cumsum(of) - of, of)
        right = order[np.repeat(begin[side.trial[order]], of) + within]
        products = np.concatenate(
            [np.einsum("pw,pw->p", side.sums[a], side.sums[b]) for a, b in _parts(left, right, side.sums.shape[1])]
        )
        counts = side.counts[left].astype(np.float64) * side.counts[right]
        return side.value[left], side.value[right], side.trial[left], products, counts


_ENTRIES = 2**22  # of the states that are multiplied at once


def _parts(left: np.ndarray, right: np.ndarray, width: int) -> list[tuple[np.ndarray, np.ndarray]]:
    parts = max(1, -(-len(left) * width // _ENTRIES))
    return list(zip(np.array_split(left, parts), np.array_split(right, parts), strict=True))


def complete(distances: Sequence[Kernel]) -> Bool[np.ndarray, " values"]:
    """Return which conditions have two distinct trials in all matrices of distances."""
    return ~np.any([np.isnan(each.diagonal()) for each in distances], axis=0)
