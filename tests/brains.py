"""Networks as brains: what a lab would have of one that it recorded."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pynwb

from causalign.random_streams import numpy_stream
from causalign.sites.base import Site


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


STEP = 0.02
"""Seconds from sample to sample in files."""


def write_nwb(path: Path, brain: Brain, conversion: float = 1.0, **extra: Sequence[Any]) -> Path:
    """A file as a lab would share it: states as a series, all trials one after another, variables at every sample.

    Where a swap may not happen, they are NaN. The stored numbers times `conversion` are volts. `extra` are further
    columns of trials.
    """
    file = empty_nwb()
    names = [name for name in brain.table.columns if name not in ("trial", "time")]
    for name in (*names, "split", *extra):
        file.add_trial_column(name=name, description=name, index=name in names)
    known = {trial: rows.set_index("time") for trial, rows in brain.table.groupby("trial")}
    first = 0
    for trial, length in enumerate(brain.lengths):
        values = {name: [float(known[trial][name].get(t, np.nan)) for t in range(length)] for name in names}
        of_trial = {name: column[trial] for name, column in extra.items()}
        times = {"start_time": 1.0 + first * STEP, "stop_time": 1.0 + (first + length) * STEP}
        file.add_trial(**times, **values, **of_trial, split=brain.split[trial])
        first += length
    flat = np.concatenate([states[:length] for states, length in zip(brain.states, brain.lengths, strict=True)])
    series = pynwb.TimeSeries(
        name="states", data=flat, unit="V", rate=1 / STEP, starting_time=1.0, conversion=conversion
    )
    file.create_processing_module(name="behavior", description="the states of a network").add(series)
    return save(file, path)


def empty_nwb() -> Any:
    return pynwb.NWBFile(
        session_description="a session", identifier="brain", session_start_time=datetime(2026, 1, 1, tzinfo=UTC)
    )


def save(file: Any, path: Path) -> Path:
    with pynwb.NWBHDF5IO(path, "w") as io:
        io.write(file)
    return path
