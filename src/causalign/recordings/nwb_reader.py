"""Recordings in NWB files: states from units or a series, variables from the table of trials."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from causalign.errors import FileFormatError, MissingDependency, unknown
from causalign.recordings.series import SeriesStates, clock
from causalign.recordings.spikes import SpikeStates, span
from causalign.recordings.states import States
from causalign.recordings.values import TIME, TRIAL
from causalign.recordings.windows import Windows

_OF_NWB = {"start_time", "stop_time", "timeseries", "timeseries_index", "tags", "tags_index"}


@dataclass(frozen=True, eq=False)
class Session:
    """The parts of a recording that were read from a file.

    Attributes:
        states: The states of the trials.
        table: The variables, one row a trial or one row a sample.
        split: The split of each trial. `None` if no column names it.
        at: The name of the series, or `units`.
        left_out: The number of trials that are left out, by reason.
    """

    states: States
    table: pd.DataFrame
    split: list[str] | None
    at: str
    left_out: dict[str, int]


def read_nwb(
    path: Path,
    *,
    series: str | None,
    bin: float | None,  # noqa: A002 (the usual name)
    align: str,
    window: tuple[float, float] | None,
    columns: Sequence[str] | None,
    where: Mapping[str, Any],
    split: str | None,
) -> Session:
    """Read the trials of a file: a series, or the binned spikes of its units, aligned to an event.

    States are read when they are needed, so the file stays open while the session is in use.

    Args:
        path: The file.
        series: The name of a series, whose samples are used as they are. If `None`, the spikes of the units are used.
        bin: The width in seconds of the bins in which spikes are counted.
        align: The column of trials with the time of the event, in seconds.
        window: The start and the end of the samples relative to the event, in seconds. If `None`, the samples go from
            the event to the end of the trial.
        columns: The columns of trials that are variables. If `None`, all are but NWB's own, `align` and `split`.
        where: For some columns, the value (or list of values) that trials must have.
        split: The column of trials that names the split of each trial.

    Raises:
        MissingDependency: pynwb is not installed.
        FileFormatError: The file is missing, is not an NWB file, or has no units or no matching trials; or `bin` does
            not fit the states.
        InvalidArgument: A column or a series is unknown, or a window is not within the recording.
    """
    file = _opened(path)
    if file.trials is None:
        raise FileFormatError(f"{path}: has no table of trials, which the times and the variables are read from")
    trials = file.trials.to_dataframe().reset_index(drop=True)
    trials = _chosen(trials, where, path)
    event = _column(trials, align, path).to_numpy(dtype=np.float64)
    happened = ~np.isnan(event)
    if not happened.any():
        raise FileFormatError(f"{path}: the event {align!r} occurs in no trial")
    left_out = {} if happened.all() else {f"no event {align!r}": int((~happened).sum())}
    trials, event = trials[happened].reset_index(drop=True), event[happened]
    stop = trials["stop_time"].to_numpy(dtype=np.float64)
    if series is None:
        states, windows = _of_units(file, path, bin, event=event, trials=trials, window=window)
    else:
        states, windows = _of_series(file, path, series, width=bin, event=event, stop=stop, window=window)
    if columns is None:
        columns = [name for name in trials.columns if name not in {*_OF_NWB, align, split}]
    table = _table(trials, columns, windows, path)
    names = None if split is None else [str(name) for name in _column(trials, split, path)]
    return Session(states, table, names, series or "units", left_out)


def _opened(path: Path) -> Any:
    try:
        import h5py
        import pynwb
    except ImportError:
        raise MissingDependency("reading NWB files needs pynwb: pip install causalign[neuro]") from None
    if not path.is_file():
        raise FileFormatError(f"{path}: no such file")
    if not h5py.is_hdf5(path):
        raise FileFormatError(f"{path}: not an NWB file (it is not an HDF5 file)")
    with h5py.File(path) as plain:
        if "nwb_version" not in plain.attrs:
            raise FileFormatError(f"{path}: not an NWB file (an HDF5 file without nwb_version)")
    try:
        return pynwb.NWBHDF5IO(path, "r", load_namespaces=True).read()
    except Exception as error:  # the errors of pynwb and hdmf have no base class in common
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise FileFormatError(f"{path}: cannot be read as NWB ({first})") from None


def _column(trials: pd.DataFrame, name: str, path: Path) -> pd.Series:
    if name not in trials.columns:
        raise unknown(f"column of the trials of {path.name}", name, [str(column) for column in trials.columns])
    return trials[name]


def _chosen(trials: pd.DataFrame, where: Mapping[str, Any], path: Path) -> pd.DataFrame:
    for name, wanted in where.items():
        values = list(wanted) if isinstance(wanted, list | tuple | set) else [wanted]
        trials = trials[_column(trials, name, path).isin(values)]
    if not len(trials):
        condition = f" with {', '.join(f'{name} = {wanted}' for name, wanted in where.items())}" if where else ""
        raise FileFormatError(f"{path}: there is no trial{condition}")
    return trials.reset_index(drop=True)


def _of_units(
    file: Any,
    path: Path,
    width: float | None,
    *,
    event: np.ndarray,
    trials: pd.DataFrame,
    window: tuple[float, float] | None,
) -> tuple[States, Windows]:
    if file.units is None or not len(file.units) or "spike_times" not in file.units.colnames:
        raise FileFormatError(f"{path}: has no units; its series are {', '.join(_series(file)) or 'none'}")
    if width is None or not width > 0:
        raise FileFormatError(
            f"bin must be the width in seconds of the bins in which spikes are counted, found {width}"
        )
    start, stop = (trials[name].to_numpy(dtype=np.float64) for name in ("start_time", "stop_time"))
    windows = Windows.of(event, stop, window, step=width, what="bin", recorded=span(file.units, start, stop))
    return SpikeStates(file.units, windows), windows


def _of_series(
    file: Any,
    path: Path,
    name: str,
    *,
    width: float | None,
    event: np.ndarray,
    stop: np.ndarray,
    window: tuple[float, float] | None,
) -> tuple[States, Windows]:
    if width is not None:
        raise FileFormatError(f"bin applies to spikes only; the samples of the series {name!r} are used as they are")
    known = _series(file)
    if name not in known:
        raise unknown(f"series of {path.name}", name, known)
    begins, ends, step = clock(known[name], name)
    windows = Windows.of(event, stop, window, step=step, what="sample", recorded=(begins, ends))
    return SeriesStates(known[name], windows, name), windows


def _series(file: Any) -> dict[str, Any]:
    """Return all series that have a value for each unit, by name.

    A series whose name is taken is listed as `module/name`.
    """
    import pynwb

    found: dict[str, Any] = {}
    for item in file.objects.values():
        if isinstance(item, pynwb.TimeSeries) and len(getattr(item.data, "shape", ())) in (1, 2):
            alone = item.name not in found
            found[item.name if alone else f"{item.parent.name}/{item.name}"] = item
    return found


def _table(trials: pd.DataFrame, columns: Sequence[str], windows: Windows, path: Path) -> pd.DataFrame:
    """Return one row a trial, or one row a sample if a column has an entry for each sample (a ragged column)."""
    by_name = {name: _column(trials, name, path) for name in columns}
    if not any(map(_ragged, by_name.values())):
        return pd.DataFrame(by_name)
    trial = np.repeat(np.arange(len(trials)), windows.samples)
    first = np.repeat(np.cumsum(windows.samples) - windows.samples, windows.samples)
    rows: dict[str, Any] = {TRIAL: trial, TIME: np.arange(len(trial)) - first}
    for name, column in by_name.items():
        if not _ragged(column):
            rows[name] = column.to_numpy()[trial]
            continue
        for index, (entries, samples) in enumerate(zip(column, windows.samples, strict=True)):
            if len(entries) != samples:
                raise FileFormatError(
                    f"{path}: the column {name!r} has {len(entries)} entries in trial {index}, which has {samples} "
                    "samples; expected one entry a sample"
                )
        rows[name] = np.concatenate([np.asarray(entries) for entries in column])
    return pd.DataFrame(rows)


def _ragged(column: pd.Series) -> bool:
    return bool(column.map(lambda entry: isinstance(entry, list | tuple | np.ndarray)).all())
