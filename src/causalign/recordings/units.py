"""The choice of units, and their names."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Int

from causalign.errors import InvalidArgument, unknown
from causalign.recordings.conditions import Condition, column_of, is_ragged, rows_with

Units = Condition | Sequence[Any] | None
"""Which units: by a condition on their table, by their ids, or by a mask. `None` means all."""

_NAME, _PEAK = "unit_name", "peak_channel_id"
_BULKY = {"spike_times", "spike_amplitudes", "waveforms", "waveform_mean", "waveform_sd", "obs_intervals"}


def unit_table(table: Any) -> pd.DataFrame:
    """Return what is known of each unit, by id: the columns with a single entry a unit.

    Columns of the table of electrodes that the units do not have themselves (such as `location`) are those of a unit's
    first electrode.
    """
    ragged = {name.removesuffix("_index") for name in _names(table) if name.endswith("_index")}
    frame = pd.DataFrame(index=pd.Index(np.asarray(table.id[:]), name="id"))
    for name in table.colnames:
        if name not in _BULKY | ragged and np.ndim(table[name].data) <= 1:
            frame[name] = [getattr(entry, "name", entry) for entry in table[name][:]]
    return frame.assign(**_of_electrodes(frame, table))


def _names(table: Any) -> list[str]:
    return [column.name for column in table.columns]


def _of_electrodes(frame: pd.DataFrame, table: Any) -> dict[str, list[Any]]:
    """Return the entries of each unit's electrode in the columns that the units do not have themselves."""
    electrodes, places = _electrode_of_units(frame, table)
    names = [name for name in electrodes.columns if name not in frame.columns and not is_ragged(electrodes[name])]
    entries = {name: [getattr(entry, "name", entry) for entry in electrodes[name]] for name in names}
    return {name: [column[place] if place >= 0 else None for place in places] for name, column in entries.items()}


def _electrode_of_units(frame: pd.DataFrame, table: Any) -> tuple[pd.DataFrame, Int[np.ndarray, " units"]]:
    """Return the table of electrodes, and the place in it of the electrode of each unit, or -1 if it has none.

    A unit's electrode is the first that it lists, or the one of its `peak_channel_id`. The table is empty if the units
    have neither.
    """
    session = table.get_ancestor("NWBFile")
    if "electrodes" in table.colnames:
        column = table["electrodes"]
        region = getattr(column, "target", column)  # the column itself is an index of the region, if it is ragged
        ends = np.asarray(column.data[:])
        starts = np.append(0, ends[:-1]) if column is not region else np.arange(len(ends))
        index = np.append(np.asarray(region.data[:], dtype=np.int64), -1)
        places = index[np.minimum(starts, len(index) - 1)]
        return region.table.to_dataframe(), np.where(ends > starts, places, -1) if column is not region else places
    if _PEAK in frame.columns and session is not None and session.electrodes is not None:
        electrodes = session.electrodes.to_dataframe()
        return electrodes, electrodes.index.get_indexer(frame[_PEAK]).astype(np.int64)
    return pd.DataFrame(), np.empty(0, dtype=np.int64)


def channel_table(series: Any) -> pd.DataFrame:
    """Return what is known of each channel of a series: the rows of its electrodes or rois, by index of the channel."""
    shape = tuple(series.data.shape)
    many = int(np.prod(shape[1:], dtype=np.int64))
    region = getattr(series, "electrodes", None)
    region = getattr(series, "rois", None) if region is None else region
    if region is None or len(shape) != 2 or len(region.data) != many:
        return pd.DataFrame(index=pd.RangeIndex(many, name="id"))
    frame = region.table.to_dataframe(exclude={"pixel_mask", "image_mask", "voxel_mask"} & set(region.table.colnames))
    frame = frame.iloc[np.asarray(region.data[:])].reset_index(names="electrode")
    for name in frame.columns:
        frame[name] = [getattr(entry, "name", entry) for entry in frame[name]]
    frame.index.name = "id"
    return frame


def chosen_units(table: pd.DataFrame, units: Units, what: str) -> Int[np.ndarray, " units"]:
    """Return the indices of the chosen units.

    Args:
        table: What is known of each unit, by id.
        units: A condition on the table, a list of ids, or a mask with a truth value for each unit. `None` means all.
        what: The name of the table in messages.

    Raises:
        InvalidArgument: No unit is chosen, an id is unknown, or the mask is of another length.
    """
    if units is None:
        return np.arange(len(table))
    if isinstance(units, str | Mapping) or callable(units):
        index = np.flatnonzero(rows_with(table, units, what))
    else:
        index = _by_id(table, np.asarray(list(units), dtype=object), what)
    if not len(index):
        raise InvalidArgument(f"units={units!r} chooses none of the {len(table)} units of {what}")
    return index


def _by_id(table: pd.DataFrame, ids: np.ndarray, what: str) -> Int[np.ndarray, " units"]:
    if len(ids) and all(isinstance(each, bool | np.bool_) for each in ids):
        if len(ids) != len(table):
            raise InvalidArgument(f"units is a mask of {len(ids)} truth values for {len(table)} units of {what}")
        return np.flatnonzero(ids.astype(bool))
    places = {entry: place for place, entry in enumerate(table.index.tolist())}
    if _NAME in table.columns:
        places |= {str(name): place for place, name in enumerate(table[_NAME])}
    for each in ids:
        if each not in places:
            raise unknown(f"unit of {what}", str(each), [str(name) for name in places])
    if len(set(ids.tolist())) < len(ids):
        raise InvalidArgument(f"units names a unit twice: {', '.join(map(str, ids[:20]))}")
    return np.array([places[each] for each in ids], dtype=np.int64)


def names_of(
    table: pd.DataFrame, chosen: Int[np.ndarray, " units"], columns: str | Sequence[str] | None, what: str
) -> list[str]:
    """Return the names of the chosen units: their own, or the entries of some columns, such as region and depth.

    Raises:
        InvalidArgument: There is no such column.
    """
    table = table.iloc[chosen]
    if columns is None:
        own = table[_NAME] if _NAME in table.columns else [f"unit {each}" for each in table.index]
        return [str(name) for name in own]
    parts = [column_of(table, name, what) for name in ([columns] if isinstance(columns, str) else columns)]
    return [" ".join("?" if pd.isna(each) else str(each) for each in entries) for entries in zip(*parts, strict=True)]
