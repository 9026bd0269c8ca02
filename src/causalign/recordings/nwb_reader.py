"""Recordings in the NWB format: states from units, events or a series, variables from a table of intervals."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from causalign.errors import FileFormatError, InvalidArgument
from causalign.recordings.clock import Clock
from causalign.recordings.conditions import Condition, column_of, is_ragged, rows_with
from causalign.recordings.intervals import (
    START,
    STOP,
    invalid_times,
    read_intervals,
    span_of_tables,
    variable_columns,
)
from causalign.recordings.nwb_names import full_names, named, short_names
from causalign.recordings.nwb_source import NWBSource, open_nwb
from causalign.recordings.omissions import Omissions
from causalign.recordings.series import SeriesStates
from causalign.recordings.spikes import CountStates, Events, PointProcesses, Spikes
from causalign.recordings.states import States
from causalign.recordings.units import Units, channel_table, chosen_units, names_of, unit_table
from causalign.recordings.values import TIME, TRIAL, Rows
from causalign.recordings.windows import Bounds, Windows


@dataclass(frozen=True, eq=False)
class NWBSelection:
    """What is read of a session.

    Attributes:
        series: The name of a series, whose samples are the states.
        events: The names of series whose timestamps are events. Without these and a series, the states are the spike
            counts of the session's units.
        bin: The width in seconds of the bins in which spikes or events are counted.
        units: The units or channels: a condition on their table, ids, or a mask. `None` means all.
        unit_names: The columns that name the units.
        intervals: The name of a table of intervals, or a table. `None` means the trials.
        where: The condition that intervals must meet.
        align: The column with the time of the event, in seconds.
        window: The start and the end of the samples relative to the event, in seconds. If `None`, the samples go from
            the event to the end of the interval.
        columns: The columns that are variables. If `None`, all but those that NWB defines, `align` and `split`.
        split: The column that names the split of each trial.
        use_invalid: Whether to use trials in the session's `invalid_times`.
        max_left_out: The largest share of trials that may be left out for a fault.
        jitter: The largest deviation of the time between samples of a series, as a share of it.
    """

    series: str | None = None
    events: Sequence[str] | None = None
    bin: float | None = None
    units: Units = None
    unit_names: str | Sequence[str] | None = None
    intervals: str | pd.DataFrame | None = None
    where: Condition = field(default_factory=dict)
    align: str = START
    window: tuple[float, float] | None = None
    columns: Sequence[str] | None = None
    split: str | None = None
    use_invalid: bool = False
    max_left_out: float = 0.2
    jitter: float = 0.01


@dataclass(frozen=True, eq=False)
class Session:
    """The parts of a recording that were read from a session.

    Attributes:
        source: The open session.
        states: The states of the trials.
        table: The variables, one row a trial or one row a sample.
        rows: What a row of the table is of.
        columns: The columns of the table that are variables.
        split: The split of each trial. `None` if no column names it.
        at: The name of the series, `events` or `units`.
        omissions: The trials that are left out.
    """

    source: NWBSource
    states: States
    table: pd.DataFrame
    rows: Rows
    columns: Sequence[str]
    split: list[str] | None
    at: str
    omissions: Omissions


def read_nwb(where: Any, selection: NWBSelection) -> Session:
    """Open a session, and find the samples and variables of its trials.

    States are read when they are needed, so the file stays open while the session is in use. It is closed if the
    session is refused.

    Args:
        where: The path of a file or of a Zarr store, an http address, an `h5py.File`, or a `pynwb.NWBFile`.
        selection: What is read.

    Raises:
        MissingDependency: pynwb or hdmf-zarr is not installed.
        FileFormatError: The file cannot be read, or has no units, intervals or matching trials.
        InvalidArgument: A column, series or unit is unknown, options exclude each other, or too many trials cannot be
            used.
    """
    source = open_nwb(where)
    try:
        return _Reader(source, selection).session()
    except BaseException:
        source.close()
        raise


class _Reader:
    """The steps of reading, which share the session, the selection, and the table of trials."""

    def __init__(self, source: NWBSource, selection: NWBSelection) -> None:
        self.source, self.selection = source, selection
        _require_compatible(selection)
        table, self.what = read_intervals(source, selection.intervals)
        chosen = rows_with(table, selection.where, self.what)
        if not chosen.any():
            raise FileFormatError(f"{source.name}: there is no row of {self.what} with {selection.where}")
        self.table = table[chosen]

    def session(self) -> Session:
        asked = self.selection
        event = self._times(asked.align)
        stop = self._times(STOP) if STOP in self.table.columns else np.full(len(event), np.nan)
        omissions = Omissions(self.table.index.to_numpy(), event)
        bounds = Bounds.around(event, stop, asked.window)
        if asked.window is None and np.isnan(stop).all():
            raise InvalidArgument(f"no row of {self.what} has an end (stop_time): give a window, such as window=(0, 1)")
        states, windows = self._series(bounds, omissions) if asked.series else self._counts(bounds, omissions)
        table = self.table[omissions.kept]
        columns = asked.columns
        if columns is None:
            columns = [name for name in variable_columns(table) if name not in {asked.align, asked.split}]
        elif isinstance(columns, str):
            raise InvalidArgument(f"columns must be a list of columns: columns=[{columns!r}]")
        variables, rows = self._variables(table, columns, windows)
        split = None if asked.split is None else [str(name) for name in column_of(table, asked.split, self.what)]
        at = asked.series or ("events" if asked.events else "units")
        return Session(self.source, states, variables, rows, columns, split=split, at=at, omissions=omissions)

    def _times(self, name: str) -> Float[np.ndarray, " trials"]:
        column = column_of(self.table, name, self.what)
        if is_ragged(column):
            raise InvalidArgument(
                f"the column {name!r} of {self.what} has several times a row; give a table of intervals with one row "
                "an event (intervals=pandas.DataFrame)"
            )
        if column.dtype.kind not in "iuf":
            entry = column.dropna().tolist()[0] if column.notna().any() else None
            raise InvalidArgument(f"the column {name!r} of {self.what} holds {entry!r}, not times in seconds")
        times = column.to_numpy(dtype=np.float64)
        if not np.isfinite(times).any() and name == self.selection.align:
            raise FileFormatError(f"{self.source.name}: the event {name!r} occurs in no row of {self.what}")
        return times

    def _windows(
        self, bounds: Bounds, omissions: Omissions, *, step: float, what: str, recorded: tuple[float, float]
    ) -> Windows:
        invalid = np.empty((0, 2)) if self.selection.use_invalid else invalid_times(self.source.session)
        return bounds.windows(
            omissions, event=self.selection.align, step=step, what=what, recorded=recorded, invalid=invalid
        )

    def _kept(self, windows: Windows, omissions: Omissions) -> Windows:
        omissions.require_few(self.selection.max_left_out, self.source.name)
        return windows.of(np.flatnonzero(omissions.kept))

    def _counts(self, bounds: Bounds, omissions: Omissions) -> tuple[States, Windows]:
        asked = self.selection
        processes = self._spikes() if asked.events is None else self._events(asked.events)
        if asked.bin is None or not (np.isfinite(asked.bin) and asked.bin > 0):
            raise FileFormatError(
                f"bin must be the width in seconds of the bins in which spikes are counted, found {asked.bin}"
            )
        recorded = self._recorded(processes)
        windows = self._windows(bounds, omissions, step=asked.bin, what="bin", recorded=recorded)
        windows = self._kept(windows, omissions)
        return CountStates(processes, windows), windows

    def _recorded(self, processes: PointProcesses) -> tuple[float, float]:
        """The ends of what was observed. Where that is not known, those of all events and of the session's tables."""
        first, last = processes.span
        if any(processes.observed(unit) is not None for unit in range(len(processes))):
            return first, last
        of_tables = span_of_tables(self.source)
        first, last = min(first, of_tables[0]), max(last, of_tables[1])
        if not first < last:
            raise InvalidArgument(f"{self.source.name}: no unit fires, and no interval says when they were recorded")
        return first, last

    def _spikes(self) -> Spikes:
        units, what = self.source.session.units, f"the units of {self.source.name}"
        if units is None or not len(units) or "spike_times" not in units.colnames:
            there = ", ".join(short_names(self._all_series())) or "none"
            raise FileFormatError(f"{self.source.name}: has no units; its series are {there}")
        table = unit_table(units)
        chosen = chosen_units(table, self.selection.units, what)
        return Spikes(units, chosen, names_of(table, chosen, self.selection.unit_names, what))

    def _events(self, names: Sequence[str]) -> Events:
        if isinstance(names, str):
            raise InvalidArgument(f"events must be a list of series: events=[{names!r}]")
        known = self._all_series()
        return Events({name: named(f"series of {self.source.name}", name, known) for name in names})

    def _series(self, bounds: Bounds, omissions: Omissions) -> tuple[States, Windows]:
        asked, name = self.selection, str(self.selection.series)
        series = named(f"series of {self.source.name}", name, self._all_series())
        clock = Clock(series, name, asked.jitter)
        table, what = channel_table(series), f"the channels of {name!r}"
        chosen = chosen_units(table, asked.units, what)
        windows = self._windows(bounds, omissions, step=clock.step, what="sample", recorded=clock.span)
        cuts, none, uneven = clock.cuts(windows)
        omissions.leave_out(none, f"in a gap of {name!r}")
        omissions.leave_out(uneven, f"with samples of {name!r} that are not {clock.step:g} s apart (see jitter)")
        windows = self._kept(windows, omissions)
        cuts = [cut for cut, kept in zip(cuts, omissions.kept, strict=True) if kept]
        units = names_of(table, chosen, asked.unit_names, what)
        return SeriesStates(series, cuts, windows, units=units, chosen=chosen, name=name), windows

    def _all_series(self) -> dict[str, Any]:
        import pynwb

        return {
            name: item
            for name, item in full_names(self.source.session).items()
            if isinstance(item, pynwb.TimeSeries) and item.data is not None
        }

    def _variables(self, table: pd.DataFrame, columns: Sequence[str], windows: Windows) -> tuple[pd.DataFrame, Rows]:
        """Return one row a trial, or one row a sample if a column has an entry for each sample (a ragged column)."""
        by_name = {name: column_of(table, name, self.what) for name in columns}
        if not any(map(is_ragged, by_name.values())):
            return pd.DataFrame(by_name), "trial"
        for name in (TRIAL, TIME):
            if name in by_name:
                raise InvalidArgument(
                    f"a variable of {self.what} cannot be named {name!r} beside one with an entry a sample"
                )
        trial = np.repeat(np.arange(len(table)), windows.samples)
        first = np.repeat(np.cumsum(windows.samples) - windows.samples, windows.samples)
        rows: dict[str, Any] = {TRIAL: trial, TIME: np.arange(len(trial)) - first}
        for name, column in by_name.items():
            rows[name] = self._by_sample(name, column, windows) if is_ragged(column) else column.to_numpy()[trial]
        return pd.DataFrame(rows), "sample"

    def _by_sample(self, name: str, column: pd.Series, windows: Windows) -> np.ndarray:
        for trial, entries, samples in zip(column.index, column, windows.samples, strict=True):
            if len(entries) != samples:
                raise FileFormatError(
                    f"{self.source.name}: the column {name!r} has {len(entries)} entries in trial {trial}, which has "
                    f"{samples} samples; expected one entry a sample: align=, bin= and window= say where samples are, "
                    "and columns=[...] which columns are variables"
                )
        return np.concatenate([np.asarray(entries) for entries in column])


def _require_compatible(selection: NWBSelection) -> None:
    """Check that no option is given that does not apply.

    Raises:
        InvalidArgument: Options exclude each other, or one is out of range.
        FileFormatError: There is a width of bins, and a series whose samples are used as they are.
    """
    if selection.series is not None and selection.events is not None:
        raise InvalidArgument("series and events are two kinds of states: give one of them")
    if selection.series is not None and selection.bin is not None:
        raise FileFormatError(
            f"bin applies to spikes and events only; the samples of the series {selection.series!r} are used as "
            "they are"
        )
    if selection.events is not None and not (selection.units is None and selection.unit_names is None):
        raise InvalidArgument("units and unit_names apply to units and channels; each series of events is a unit")
    if selection.series is None and selection.jitter != NWBSelection.jitter:
        raise InvalidArgument(
            "jitter applies to a series with timestamps only; spikes and events have no regular clock"
        )
    if not 0 <= selection.max_left_out <= 1:
        raise InvalidArgument(f"max_left_out is a share of the trials, from 0 to 1; found {selection.max_left_out}")
