"""Means over pairs of networks that share members, such as each of two networks with each of two others.

Scores of pairs that share a network are correlated, so that the standard deviation over pairs divided by the root of
their number is too small. The jackknife leaves out one network at a time, with all its pairs. For m networks of a
population whose absence changes the estimate to `t_i`, the variance is `(m - 1) / m sum_i (t_i - t)^2`, and the
variances of several populations add up. For pairs of each of a with each of b networks this is

    V = (MS_a + MS_b) / ab,

with the mean squares of the analysis of variance. The unbiased estimate under the crossed model
`y_ij = mu + a_i + b_j + e_ij` is `(MS_a + MS_b - MS_e) / ab`. The jackknife counts the deviation of a single pair
twice, so that it errs on the safe side, and it is never negative (Efron and Stein, 1981).

Intervals have the degrees of freedom of the smallest population, one less than its members. With these the coverage of
a sum of variances is at least the nominal one (Hsu, 1938). With Satterthwaite's approximation it falls to 0.89 for two
networks of one kind beside eight of another.
"""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from causalign.errors import InvalidArgument

Pairs = Sequence[Sequence[Hashable]]
"""The members of each pair, in the order of their roles."""
_Estimate = Callable[[set[Hashable]], float]
"""An estimate from the pairs without some members. It is NaN if none is left."""


@dataclass(frozen=True)
class PairMean:
    """A mean over pairs of networks, or the difference of two such means.

    Attributes:
        value: The mean, or the difference.
        sem: Its standard error over networks. It is NaN if no population has two members.
        df: The degrees of freedom of the standard error: the members of the smallest population, less one.
        singletons: The number of populations of which no member can be left out, because it is in all pairs. The
            standard error does not cover their variation.
    """

    value: float
    sem: float
    df: int
    singletons: int

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Return the interval of Student's t distribution. Both ends are NaN if the standard error is."""
        from scipy.stats import t  # takes half a second to import

        reach = float(t.ppf((1 + confidence) / 2, self.df)) * self.sem if self.df else float("nan")
        return self.value - reach, self.value + reach

    def p(self, hypothesis: float = 0.0) -> float:
        """Return the two-sided p-value of the hypothesis that the expected value is this. It is NaN if the error is."""
        from scipy.stats import t  # takes half a second to import

        if not self.df:
            return float("nan")
        distance = abs(self.value - hypothesis)
        if self.sem == 0:
            return 1.0 if distance == 0 else 0.0
        return float(2 * t.sf(distance / self.sem, self.df))


def pair_mean(values: Sequence[float] | Float[np.ndarray, " pairs"], pairs: Pairs) -> PairMean:
    """Return the mean over pairs of networks, with a standard error that holds where pairs share networks.

    Args:
        values: The value of each pair, such as its worst IIA.
        pairs: The members of each pair, by names or other keys. Members that occur in one role only are a population
            of their own. A member may also stand alone, as a tuple of one.

    Raises:
        InvalidArgument: There are no values, not one for each pair, or pairs have different numbers of members.
    """
    mean = _mean(values, pairs)
    return _jackknife(mean, _roles(pairs))


def pair_difference(
    first: tuple[Sequence[float] | Float[np.ndarray, " pairs"], Pairs],
    second: tuple[Sequence[float] | Float[np.ndarray, " others"], Pairs],
) -> PairMean:
    """Return the difference of the means over two sets of pairs, first minus second.

    The sets may share networks, such as A x B and A x C: these are left out of both at once.

    Args:
        first: The values and the members of the first pairs, as for `pair_mean`.
        second: The same of the second.

    Raises:
        InvalidArgument: As `pair_mean`.
    """
    means = _mean(*first), _mean(*second)
    return _jackknife(lambda out: means[0](out) - means[1](out), [*_roles(first[1]), *_roles(second[1])])


def _mean(values: Sequence[float] | Float[np.ndarray, " pairs"], pairs: Pairs) -> _Estimate:
    """Return the function that gives the mean over the pairs without some members."""
    numbers, members = np.asarray(values, dtype=float), [tuple(pair) for pair in pairs]
    if not members or len(numbers) != len(members) or len({len(pair) for pair in members}) > 1 or not members[0]:
        raise InvalidArgument(
            f"each value needs a pair, and each pair the same number of members: found {len(numbers)} values and pairs "
            f"of {sorted({len(pair) for pair in members})} members ({len(members)} pairs)"
        )

    def without(out: set[Hashable]) -> float:
        there = [out.isdisjoint(pair) for pair in members]
        return float(numbers[there].mean()) if any(there) else float("nan")

    return without


def _roles(pairs: Pairs) -> list[set[Hashable]]:
    return [set(members) for members in zip(*pairs, strict=True)]


def _populations(roles: Sequence[set[Hashable]]) -> list[set[Hashable]]:
    """Return the populations of networks: roles that share a member are of one population."""
    populations: list[set[Hashable]] = []
    for role in roles:
        shared = [each for each in populations if each & role]
        populations = [each for each in populations if not each & role] + [role.union(*shared)]
    return populations


def _jackknife(estimate: _Estimate, roles: Sequence[set[Hashable]]) -> PairMean:
    """Return the estimate with its jackknife error over the members of each population."""
    value, variance, freedoms, singletons = estimate(set()), 0.0, [], 0
    for population in _populations(roles):
        count = len(population)
        changed = np.array([estimate({member}) for member in sorted(population, key=repr)])
        if count < 2 or np.isnan(changed).any():
            singletons += 1
            continue
        variance += (count - 1) / count * float(np.square(changed - value).sum())
        freedoms.append(count - 1)
    error = float(np.sqrt(variance)) if freedoms else float("nan")
    return PairMean(value, error, min(freedoms, default=0), singletons)
