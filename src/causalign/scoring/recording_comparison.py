"""Correlational measures of a recording and another site, which cannot read the same trials.

The mean states of each value of a variable are compared. The recording's trials are resampled for intervals, and halved
for a noise ceiling.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int
from scipy.sparse import csr_array
from torch import Tensor

from causalign.engine.activation_cache import MAX_TRIALS, Activations, read_activations
from causalign.errors import InvalidArgument
from causalign.random_streams import numpy_stream
from causalign.recordings.splits import SPLITS
from causalign.run_context import RunContext
from causalign.sites.readable import Readable
from causalign.sites.recordings.recording import Recording
from causalign.storage import forget_mapped_pages
from causalign.tasks.causal_model import require_settable

Measure = Callable[[Tensor, Tensor], float]
_HALVINGS = 20
_FEWEST = 4  # fewest shared values; the debiased CKA needs as many samples
_PART = 2**14


def compare_averages(
    a: Readable, b: Readable, measures: Mapping[str, Measure], *, variable: str, seed: int, resamples: int
) -> pd.DataFrame:
    """Compare the mean states of each value of a variable, over the values that both sites have.

    Args:
        a: A site.
        b: Another site.
        measures: Functions of two arrays of states, by name.
        variable: The variable by whose values states are averaged.
        seed: The seed of all random draws.
        resamples: The number of resamples of the trials.

    Returns:
        A table with one row per measure: `measure, a, b, value, sd, draws, samples, ci_low, ci_high, ceiling`. `sd` and
        the 95 % interval are from `draws` resamples of the recorded trials. The interval is shifted so that the median
        of the resamples is the value, because resampled trials are noisier than the trials themselves. `samples` is the
        number of values. `ceiling` is the measure between two random halves of a recording's trials, as a mean over 20
        halvings. Of two recordings, it is that of the noisier one. Each half has only half of the trials, so that the
        agreement of all trials may be a little better.

    Raises:
        InvalidArgument: The variables differ, or the sites share too few values.
    """
    require_settable(a.task, variable, b.task, variable)
    sides = _averages([a, b], variable, seed)
    means = [torch.from_numpy(side.means()) for side in sides]
    resampled = [_resampled(sides, seed, draw) for draw in range(resamples)]
    halves = [
        [side.halves(numpy_stream(seed, "similarity", "halves", index)) for index in range(_HALVINGS)]
        for side, site in zip(sides, (a, b), strict=True)
        if isinstance(site, Recording)
    ]
    rows = []
    for name, measure in measures.items():
        value = measure(*means)
        drawn = np.array([measure(*pair) for pair in resampled])
        low, high = value + np.quantile(drawn, (0.025, 0.975)) - np.median(drawn)
        ceilings = [float(np.mean([measure(*pair) for pair in of_side])) for of_side in halves]
        rows.append(
            {"measure": name, "a": a.name, "b": b.name, "value": value, "sd": drawn.std(ddof=1)}
            | {"draws": resamples, "samples": len(means[0]), "ci_low": low, "ci_high": high}
            | {"ceiling": max(ceilings) if "distance" in name else min(ceilings)}
        )
    return pd.DataFrame(rows)


@dataclass(frozen=True, eq=False)
class _Averages:
    """Sums of states by trial and value, from which the means over any trials are computed."""

    sums: Float[np.ndarray, "pairs width"]
    counts: Int[np.ndarray, " pairs"]
    trial: Int[np.ndarray, " pairs"]
    value: Int[np.ndarray, " pairs"]
    trials: int
    values: int
    resampled: bool

    def means(self, times: Int[np.ndarray, " trials"] | None = None) -> Float[np.ndarray, "values width"]:
        """Return the mean state of each value, with each trial weighted by `times`; NaN for values without a trial."""
        weight = np.ones(len(self.trial)) if times is None else times[self.trial].astype(np.float64)
        together = csr_array((weight, (self.value, np.arange(len(weight)))), (self.values, len(weight)))
        sums = together @ self.sums
        counts = np.bincount(self.value, self.counts * weight, minlength=self.values)
        return np.divide(sums, counts[:, None], out=np.full_like(sums, np.nan), where=counts[:, None] > 0)

    def drawn(self, rng: np.random.Generator) -> Float[np.ndarray, "values width"]:
        """Return the means over as many trials, drawn with replacement. The trials of a network are not resampled."""
        if not self.resampled:
            return self.means()
        return self.means(np.bincount(rng.integers(self.trials, size=self.trials), minlength=self.trials))

    def halves(self, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Return the means over each of two random halves of the trials, for the values that both halves have."""
        half = rng.permutation(self.trials) < self.trials // 2
        return _both(self.means(half.astype(np.int64)), self.means(1 - half.astype(np.int64)))


def _resampled(sides: Sequence[_Averages], seed: int, draw: int) -> tuple[Tensor, Tensor]:
    rng = numpy_stream(seed, "similarity", "resampled", draw)
    return _both(*(side.drawn(rng) for side in sides))


def _both(x: Float[np.ndarray, "values x"], y: Float[np.ndarray, "values y"]) -> tuple[Tensor, Tensor]:
    """Return the means of the values that both sides have. Some values may have no trial left."""
    there = ~(np.isnan(x).any(axis=1) | np.isnan(y).any(axis=1))
    if there.sum() < _FEWEST:
        raise InvalidArgument(
            f"only {there.sum()} values have enough trials to be resampled and halved; at least {_FEWEST} are needed"
        )
    return torch.from_numpy(x[there]), torch.from_numpy(y[there])


def _averages(sites: Sequence[Readable], variable: str, seed: int) -> list[_Averages]:
    names = sites[0].task.keys(variable)
    read = [_read(site, seed, index) for index, site in enumerate(sites)]
    labels = [[each.labelled(names)[0] for each in parts] for parts in read]
    known = [set(map(tuple, np.unique(np.concatenate(parts), axis=0).tolist())) for parts in labels]
    shared = sorted(set.intersection(*known))
    if len(shared) < _FEWEST:
        raise InvalidArgument(
            f"{sites[0].name} and {sites[1].name} have {len(shared)} values of {variable!r} in common; "
            f"at least {_FEWEST} are needed"
        )
    order = {value: index for index, value in enumerate(shared)}
    return [
        _summed(parts, [_index(rows, order) for rows in of_parts], len(shared), isinstance(site, Recording))
        for site, parts, of_parts in zip(sites, read, labels, strict=True)
    ]


def _read(site: Readable, seed: int, index: int) -> list[Activations]:
    """Return the activations on all trials of a recording, or on new trials of a network's task."""
    splits = SPLITS if isinstance(site, Recording) else (f"similarity {index}",)
    return [read_activations([site], MAX_TRIALS, split, RunContext(seed))[0] for split in splits]


def _index(labels: Int[np.ndarray, "states names"], order: dict[tuple[int, ...], int]) -> Int[np.ndarray, " states"]:
    distinct, which = np.unique(labels, axis=0, return_inverse=True)
    return np.array([order.get(tuple(value), -1) for value in distinct.tolist()])[which]


def _summed(
    parts: Sequence[Activations], values: Sequence[Int[np.ndarray, " _"]], distinct: int, resampled: bool
) -> _Averages:
    sums, counts, trial, value, first = [], [], [], [], 0
    for recorded, which in zip(parts, values, strict=True):
        taken = which >= 0
        pair, of_sample = np.unique(recorded.trial[taken] * distinct + which[taken], return_inverse=True)
        rows = torch.from_numpy(recorded.row(recorded.trial, recorded.position)[taken])
        total = torch.zeros(len(pair), recorded.states.shape[1], dtype=torch.float64)
        for into, some in zip(torch.from_numpy(of_sample).split(_PART), rows.split(_PART), strict=True):
            total.index_add_(0, into, recorded.gather(some).cpu().double())
            forget_mapped_pages()
        sums.append(total.numpy())
        counts.append(np.bincount(of_sample, minlength=len(pair)))
        trial.append(pair // distinct + first)
        value.append(pair % distinct)
        first += len(recorded.trials)
    return _Averages(
        np.concatenate(sums),
        np.concatenate(counts),
        np.concatenate(trial),
        np.concatenate(value),
        first,
        distinct,
        resampled,
    )
