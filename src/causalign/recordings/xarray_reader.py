"""Recordings in labeled arrays of xarray."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from causalign.errors import InvalidArgument, unknown
from causalign.recordings.values import TIME, TRIAL, Rows

UNIT = "unit"


def read_xarray(array: Any, columns: Sequence[str] | None) -> tuple[Any, pd.DataFrame, Rows, list[str] | None]:
    """Return the states of an array, the table of its variables, and the names of its units.

    Args:
        array: A `xarray.DataArray` with the dimensions `trial`, `time` and `unit`, in any order.
        columns: The coordinates along trials (and time) that are variables. If `None`, all are.

    Returns:
        The array as `[trial, time, unit]`; a table with a row a trial, or a row a sample if a coordinate is along time;
        which of these it is; and the coordinates along units, `None` if there are none.

    Raises:
        InvalidArgument: The array has other dimensions, or no such coordinate.
    """
    if hasattr(array, "data_vars"):
        raise InvalidArgument(
            f"a Dataset of xarray has several arrays ({', '.join(map(str, array.data_vars))}): give one of them"
        )
    dims = [str(dim) for dim in getattr(array, "dims", ())]
    if sorted(dims) != sorted((TRIAL, TIME, UNIT)):
        raise InvalidArgument(
            f"an array of xarray must have the dimensions trial, time and unit; found {', '.join(dims)}"
        )
    array = array.transpose(TRIAL, TIME, UNIT)
    along = {
        str(name): coordinate
        for name, coordinate in array.coords.items()
        if name not in (TRIAL, TIME, UNIT) and TRIAL in coordinate.dims and UNIT not in coordinate.dims
    }
    columns = list(along) if columns is None else columns
    for name in columns:
        if name not in along:
            raise unknown("coordinate along trials", name, along)
    units = [str(name) for name in array.coords[UNIT].to_numpy()] if UNIT in array.coords else None
    table, rows = _table({name: along[name] for name in columns}, array.shape[:2])
    return array, table, rows, units


def _table(along: dict[str, Any], shape: tuple[int, int]) -> tuple[pd.DataFrame, Rows]:
    if not any(TIME in coordinate.dims for coordinate in along.values()):
        return pd.DataFrame({name: coordinate.to_numpy() for name, coordinate in along.items()}), "trial"
    trial, time = (part.ravel() for part in np.indices(shape))
    rows = {TRIAL: trial, TIME: time}
    for name, coordinate in along.items():
        by_sample = TIME in coordinate.dims
        values = coordinate.transpose(TRIAL, TIME).to_numpy() if by_sample else coordinate.to_numpy()[:, None]
        rows[name] = np.broadcast_to(values, shape).ravel()
    return pd.DataFrame(rows), "sample"
