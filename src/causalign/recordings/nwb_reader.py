"""Recordings in NWB files: units or a series for the states, the table of trials for the variables."""

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
    """What a recording is made of."""

    states: States
    table: pd.DataFrame
    split: list[str] | None
    at: str
    left_out: dict[str, int]


def read_nwb(
    path: Path,
    *,
    series: str | None,
    bin: float | None,  # noqa: A002 (what it is called everywhere)
    align: str,
    window: tuple[float, float] | None,
    columns: Sequence[str] | None,
    where: Mapping[str, Any],
    split: str | None,
) -> Session:
    """The trials of a file: a series, or the spikes of its units in bins, aligned to an event.

    The file stays open as long as what is returned is used: states are read when they are asked for.

    Raises:
        FileFormatError: it is no NWB file, lacks what is asked for, or has it outside of what was recorded.
    """
    file = _opened(path)
    if file.trials is None:
        raise FileFormatError(f"{path}: has no table of trials, which would say when they are and what they are of")
    trials = file.trials.to_dataframe().reset_index(drop=True)
    trials = _chosen(trials, where, path)
    event = _column(trials, align, path).to_numpy(dtype=np.float64)
    happened = ~np.isnan(event)
    if not happened.any():
        raise FileFormatError(f"{path}: the event {align!r} happened in no trial")
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
        raise MissingDependency("NWB files are read with pynwb: pip install causalign[neuro]") from None
    if not path.is_file():
        raise FileFormatError(f"{path}: no such file")
    if not h5py.is_hdf5(path):
        raise FileFormatError(f"{path}: not an NWB file (it is no HDF5 file)")
    with h5py.File(path) as plain:
        if "nwb_version" not in plain.attrs:
            raise FileFormatError(f"{path}: not an NWB file (an HDF5 file without nwb_version)")
    try:
        return pynwb.NWBHDF5IO(path, "r", load_namespaces=True).read()
    except Exception as error:  # whatever is wrong with a file, pynwb and hdmf have no error in common
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
        said = f" with {', '.join(f'{name} = {wanted}' for name, wanted in where.items())}" if where else ""
        raise FileFormatError(f"{path}: there is no trial{said}")
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
        raise FileFormatError(f"spikes are counted in bins: bin is their width in seconds, found {width}")
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
        raise FileFormatError(f"bin is for spikes; the samples of the series {name!r} are taken as they are")
    known = _series(file)
    if name not in known:
        raise unknown(f"series of {path.name}", name, known)
    begins, ends, step = clock(known[name], name)
    windows = Windows.of(event, stop, window, step=step, what="sample", recorded=(begins, ends))
    return SeriesStates(known[name], windows, name), windows


def _series(file: Any) -> dict[str, Any]:
    """All series that have a value for each unit, by name, and by `module/name` where another has that name."""
    import pynwb

    found: dict[str, Any] = {}
    for item in file.objects.values():
        if isinstance(item, pynwb.TimeSeries) and len(getattr(item.data, "shape", ())) in (1, 2):
            alone = item.name not in found
            found[item.name if alone else f"{item.parent.name}/{item.name}"] = item
    return found


def _table(trials: pd.DataFrame, columns: Sequence[str], windows: Windows, path: Path) -> pd.DataFrame:
    """A row a trial; or a row a sample, where a column has an entry for each sample (a ragged column)."""
    given = {name: _column(trials, name, path) for name in columns}
    if not any(map(_ragged, given.values())):
        return pd.DataFrame(given)
    trial = np.repeat(np.arange(len(trials)), windows.samples)
    first = np.repeat(np.cumsum(windows.samples) - windows.samples, windows.samples)
    rows: dict[str, Any] = {TRIAL: trial, TIME: np.arange(len(trial)) - first}
    for name, column in given.items():
        if not _ragged(column):
            rows[name] = column.to_numpy()[trial]
            continue
        for index, (entries, samples) in enumerate(zip(column, windows.samples, strict=True)):
            if len(entries) != samples:
                raise FileFormatError(
                    f"{path}: the column {name!r} has {len(entries)} entries in trial {index}, which has {samples} "
                    "samples; one for each is wanted"
                )
        rows[name] = np.concatenate([np.asarray(entries) for entries in column])
    return pd.DataFrame(rows)


def _ragged(column: pd.Series) -> bool:
    return bool(column.map(lambda entry: isinstance(entry, list | tuple | np.ndarray)).all())
