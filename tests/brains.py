"""Networks as brains: what a lab would have of one that it recorded."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from causalign._random import numpy_stream
from causalign.sites import Site


@dataclass(frozen=True)
class Brain:
    """Recorded states, and what was noted down."""

    states: np.ndarray
    """`[trials, time, units]`, NaN beyond a trial's end."""
    table: pd.DataFrame
    """A row for every sample at which a swap may happen: `trial, time, phase, count`."""
    split: list[str]
    lengths: np.ndarray


def brain_of(site: Site, counts: Mapping[str, int], seed: int = 0, index: int = 1) -> Brain:
    """A network as a brain: recorded on the very trials on which `align` would have read it as its site `index`."""
    parts, rows, split, lengths, first = [], [], [], [], 0
    for name, count in counts.items():
        trials = site.task.trials(count, numpy_stream(seed, name, "trials", index))
        states = site.read(site.encode(trials.tokens)).numpy().copy()
        over = np.arange(states.shape[1]) >= trials.lengths[:, None]
        states[over] = np.nan
        trial, time = site.task.swappable(trials.tokens).nonzero()
        known = dict(trials.values)
        of_variables = {key: values[trial, time] for key, values in known.items() if key in ("phase", "count")}
        rows.append(pd.DataFrame({"trial": trial + first, "time": time} | of_variables))
        parts.append(states)
        split += [name] * count
        lengths.append(trials.lengths)
        first += count
    longest = max(part.shape[1] for part in parts)
    padded = [np.pad(p, ((0, 0), (0, longest - p.shape[1]), (0, 0)), constant_values=np.nan) for p in parts]
    return Brain(np.concatenate(padded), pd.concat(rows, ignore_index=True), split, np.concatenate(lengths))
