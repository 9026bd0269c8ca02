"""The mean states of conditions, over all trials of a recording or over new trials of a network."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.sparse import csr_array
from torch import Tensor

from causalign.engine.activation_cache import MAX_TRIALS, read_activations
from causalign.errors import InvalidArgument
from causalign.run_context import RunContext
from causalign.sites.readable import Readable, finite
from causalign.sites.recordings.recording import Recording
from causalign.storage import forget_mapped_pages

Means = Float[np.ndarray, "values _"]
"""The mean state of each condition. Sites differ in their width."""
_PART = 2**14

FEWEST = 4  # fewest shared conditions; the debiased CKA needs as many samples


@dataclass(frozen=True, eq=False)
class ConditionMeans:
    """Sums of states by trial and condition, from which the means over any trials are computed.

    Attributes:
        sums: The sum of the states of each pair of a trial and a condition.
        counts: The number of these states.
        trial: The trial of each pair.
        value: The condition of each pair.
        trials: The number of trials.
        values: The number of conditions.
        recorded: Whether the trials were recorded, and may be resampled.
        left_out: The number of trials that have no state of a shared condition.
    """

    sums: Float[np.ndarray, "pairs width"]
    counts: Int[np.ndarray, " pairs"]
    trial: Int[np.ndarray, " pairs"]
    value: Int[np.ndarray, " pairs"]
    trials: int
    values: int
    recorded: bool
    left_out: int

    def means(self, times: Float[np.ndarray, " trials"] | Int[np.ndarray, " trials"] | None = None) -> Means:
        """Return the mean state of each condition, each trial weighted by `times`; NaN for one without a trial."""
        weight = np.ones(len(self.trial)) if times is None else times[self.trial].astype(np.float64)
        together = csr_array((weight, (self.value, np.arange(len(weight)))), (self.values, len(weight)))
        sums = together @ self.sums
        counts = np.bincount(self.value, self.counts * weight, minlength=self.values)
        return np.divide(sums, counts[:, None], out=np.full_like(sums, np.nan), where=counts[:, None] > 0)

    @property
    def by_trial(self) -> bool:
        """Whether each trial has one condition, so that trials can be drawn within conditions."""
        return len(np.unique(self.trial)) == len(self.trial)

    @property
    def repeats(self) -> Int[np.ndarray, " values"]:
        """The number of trials of each condition."""
        return np.bincount(self.value, minlength=self.values)

    def drawn(self, rng: np.random.Generator) -> Means:
        """Return the means over as many trials, drawn with replacement. The trials of a network are not resampled."""
        return self.means(self.times(rng) if self.recorded else None)

    def times(self, rng: np.random.Generator) -> Int[np.ndarray, " trials"]:
        """Return how often each trial is drawn, if as many are drawn with replacement.

        If each trial has one condition, trials are drawn within conditions, so that none is without a trial.
        """
        if not self.by_trial:
            return np.bincount(rng.integers(self.trials, size=self.trials), minlength=self.trials)
        order = np.argsort(self.value, kind="stable")
        first = np.cumsum(self.repeats) - self.repeats
        value = self.value[order]
        chosen = order[first[value] + rng.integers(self.repeats[value])]
        return np.bincount(self.trial[chosen], minlength=self.trials)

    def halves(self, rng: np.random.Generator) -> tuple[Means, Means]:
        """Return the means over each of two random halves of the trials: of those of each condition, if possible."""
        if self.by_trial:
            order = rng.permutation(len(self.value))
            order = order[np.argsort(self.value[order], kind="stable")]
            first = np.cumsum(self.repeats) - self.repeats
            place = np.arange(len(order)) - first[self.value[order]]
            odd = rng.integers(2, size=self.values)  # which half has one trial more
            half = np.zeros(self.trials)
            half[self.trial[order]] = (place + odd[self.value[order]]) % 2
        else:
            half = (rng.permutation(self.trials) < self.trials // 2).astype(np.float64)
        return self.means(half), self.means(1 - half)


def condition_means(
    sites: Sequence[Readable], variable: str, seed: int
) -> tuple[list[ConditionMeans], list[tuple[int, ...]], int]:
    """Return the mean states of each site, for the conditions that all of them have.

    Args:
        sites: The sites.
        variable: The variable whose values are the conditions.
        seed: The seed of the trials of networks.

    Returns:
        The means of each site, the shared conditions, and the number of conditions that only some sites have.

    Raises:
        InvalidArgument: The sites share too few conditions.
    """
    names = sites[0].task.keys(variable)
    read = [_states(site, names, seed, index) for index, site in enumerate(sites)]
    known = [set(map(tuple, np.unique(each.labels, axis=0).tolist())) for each in read]
    shared = sorted(set.intersection(*known))
    if len(shared) < FEWEST:
        raise InvalidArgument(
            f"{' and '.join(site.name for site in sites)} have {len(shared)} values of {variable!r} in common; "
            f"at least {FEWEST} are needed"
        )
    order = {value: index for index, value in enumerate(shared)}
    means = [_summed(each, order, isinstance(site, Recording)) for each, site in zip(read, sites, strict=True)]
    return means, shared, len(set.union(*known)) - len(shared)


@dataclass(frozen=True, eq=False)
class _LabelledStates:
    """The states of a site with their labels. The states are read in batches, in the order of the labels."""

    labels: Int[np.ndarray, "states names"]
    trial: Int[np.ndarray, " states"]
    trials: int
    batches: Callable[[], Iterator[Tensor]]


def _states(site: Readable, names: Sequence[str], seed: int, index: int) -> _LabelledStates:
    """Return the states of all trials of a recording, or of new trials of a network's task."""
    if isinstance(site, Recording):
        return _of_recording(site, names)
    read = read_activations([site], MAX_TRIALS, f"similarity {index}", RunContext(seed))[0]
    labels, rows = read.labelled(names)

    def batches() -> Iterator[Tensor]:
        for some in rows.split(_PART):
            yield read.gather(some).cpu()

    return _LabelledStates(labels, read.trial, len(read.trials), batches)


def _of_recording(recording: Recording, names: Sequence[str]) -> _LabelledStates:
    every = recording.every_trial()
    used = every.used_samples
    labels = np.stack([every.packed[name][used] for name in names], axis=1)

    def batches() -> Iterator[Tensor]:
        for trials in recording.chunks():
            some = every[trials]
            states = recording.exact_states(some, some.layout.time)
            yield finite(states, recording)[torch.from_numpy(some.used)]

    return _LabelledStates(labels, every.layout.trial[used], len(every), batches)


def _summed(read: _LabelledStates, order: Mapping[tuple[int, ...], int], recorded: bool) -> ConditionMeans:
    distinct, which = np.unique(read.labels, axis=0, return_inverse=True)
    value = np.array([order.get(tuple(label), -1) for label in distinct.tolist()])[which]
    taken = value >= 0
    pair, of_state = np.unique(read.trial[taken] * len(order) + value[taken], return_inverse=True)
    into = np.full(len(value), -1)
    into[taken] = of_state
    sums, first = np.zeros((len(pair), 0)), 0
    for states in read.batches():
        rows = torch.from_numpy(into[first : first + len(states)])
        if not first:
            sums = np.zeros((len(pair), states.shape[1]))
        torch.from_numpy(sums).index_add_(0, rows[rows >= 0], states[rows >= 0].double())
        first += len(states)
        forget_mapped_pages()
    trial, counts = pair // len(order), np.bincount(of_state, minlength=len(pair))
    left_out = read.trials - len(np.unique(trial))
    return ConditionMeans(
        sums, counts, trial, pair % len(order), read.trials, len(order), recorded=recorded, left_out=left_out
    )
