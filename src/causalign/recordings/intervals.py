"""Tables of intervals: trials, epochs, stimulus presentations, or a table of the user's own."""

from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from causalign.errors import FileFormatError, InvalidArgument
from causalign.recordings.conditions import ID
from causalign.recordings.nwb_names import full_names, named, short_names
from causalign.recordings.nwb_source import NWBSource

START, STOP, TRIALS = "start_time", "stop_time", "trials"
_REFERENCES = {"timeseries", "timeseries_index"}  # to samples of series; they are slow to resolve, and no variables
_OF_NWB = {START, STOP, "tags", "tags_index", ID}


def interval_tables(source: NWBSource) -> dict[str, Any]:
    """Return all tables of a session that have the columns `start_time` and `stop_time`, by full name."""
    tables = {
        name: item
        for name, item in full_names(source.session).items()
        if {START, STOP} <= set(getattr(item, "colnames", ()))
    }
    invalid = source.session.invalid_times
    return {name: table for name, table in tables.items() if table is not invalid}


def read_intervals(source: NWBSource, intervals: str | pd.DataFrame | None) -> tuple[pd.DataFrame, str]:
    """Return a table with a row for each interval, and its name in messages.

    Args:
        source: The session.
        intervals: The name of a table of the session, or a table with the column `start_time`. If `None`, the trials.

    Raises:
        FileFormatError: The session has no table of trials, or the table is empty.
        InvalidArgument: No table or several have the name, or a table has no column `start_time`.
    """
    if isinstance(intervals, pd.DataFrame):
        if START not in intervals.columns:
            raise InvalidArgument(f"a table of intervals has the column {START!r}, in seconds on the session's clock")
        table, name = intervals.copy(), "the table of intervals"
    else:
        tables = interval_tables(source)
        if intervals is None and source.session.trials is None:
            there = ", ".join(short_names(tables))
            hint = (
                f"its tables of intervals are {there}: choose one, intervals={short_names(tables)[0]!r}"
                if there
                else ("it has no table of intervals: give one, intervals=pandas.DataFrame({'start_time': ...})")
            )
            raise FileFormatError(
                f"{source.name}: has no table of trials, which the times and the variables are read from; {hint}"
            )
        chosen = (
            source.session.trials
            if intervals is None
            else named(f"table of intervals of {source.name}", intervals, tables)
        )
        table = chosen.to_dataframe(exclude=_REFERENCES & set(chosen.colnames))
        name = f"the {intervals or TRIALS} of {source.name}"
    if not len(table):
        raise FileFormatError(f"{source.name}: {name} has no row")
    return table.rename(columns=str), name


def variable_columns(table: pd.DataFrame) -> list[str]:
    """Return the columns that may be variables: all but those that NWB defines."""
    return [str(name) for name in table.columns if name not in _OF_NWB]


def invalid_times(session: Any) -> Float[np.ndarray, "intervals 2"]:
    """Return the intervals that are to be left out of any analysis, as the session says."""
    table = session.invalid_times
    if table is None:
        return np.empty((0, 2))
    return np.stack([np.asarray(table[name][:], dtype=np.float64) for name in (START, STOP)], axis=1)


def span_of_tables(source: NWBSource) -> tuple[float, float]:
    """Return the first start and the last end of all intervals of a session; infinite and empty if there are none."""
    ends = [
        np.asarray(table[name][:], dtype=np.float64)
        for table in interval_tables(source).values()
        for name in (START, STOP)
    ]
    times = np.concatenate([np.empty(0), *ends])
    times = times[np.isfinite(times)]
    return float(times.min(initial=np.inf)), float(times.max(initial=-np.inf))
