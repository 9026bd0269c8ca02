"""Conditions on the rows of a table: trials, units, or electrodes."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool

from causalign.errors import InvalidArgument, unknown

ID = "id"
Condition = Mapping[str, Any] | Callable[[pd.DataFrame], Any] | str
"""By column, the value, the values, or a function of the column; or a function of the table; or a query of pandas."""


def rows_with(table: pd.DataFrame, condition: Condition, what: str) -> Bool[np.ndarray, " rows"]:
    """Return which rows of a table meet a condition.

    Args:
        table: The table. Its index is the column `id`, unless it has one of its own.
        condition: For some columns, the value that rows must have, an array or list of such values, or a function that
            returns whether each entry of the column will do; or a function of the whole table; or a query, as
            `pandas.DataFrame.query` takes it.
        what: The name of the table in messages.

    Raises:
        InvalidArgument: A column is unknown or has several entries a row, the query cannot be evaluated, or a function
            does not return a truth value for each row.
    """
    if isinstance(condition, str):
        try:
            chosen = _with_id(table).eval(condition)
        except Exception as error:  # pandas raises errors of many types, and those of the expression itself
            raise InvalidArgument(f"the condition {condition!r} on {what}: {_line(error)}") from None
        return _truth(chosen, len(table), f"the condition {condition!r} on {what}")
    if callable(condition):
        return _truth(condition(_with_id(table)), len(table), f"the function of {what}")
    if not isinstance(condition, Mapping):
        raise InvalidArgument(
            f"a condition on {what} is a mapping from columns to values, a query or a function; found "
            f"{type(condition).__name__}"
        )
    chosen = np.ones(len(table), dtype=bool)
    for name, wanted in condition.items():
        chosen &= _entries_with(column_of(table, name, what), wanted, f"the column {name!r} of {what}")
    return chosen


def column_of(table: pd.DataFrame, name: str, what: str) -> pd.Series:
    """Return a column of a table, by its name. The index is the column `id`, unless the table has one of its own.

    Raises:
        InvalidArgument: There is no such column.
    """
    table = _with_id(table)
    if name not in table.columns:
        raise unknown(f"column of {what}", str(name), [str(column) for column in table.columns])
    return table[name]


def is_ragged(column: pd.Series) -> bool:
    """Return whether the entries of a column are lists, rather than single values."""
    return len(column) > 0 and bool(column.map(lambda entry: isinstance(entry, list | tuple | np.ndarray)).all())


def _with_id(table: pd.DataFrame) -> pd.DataFrame:
    return table if ID in table.columns else table.assign(**{ID: table.index})


def _entries_with(column: pd.Series, wanted: Any, what: str) -> Bool[np.ndarray, " rows"]:
    if callable(wanted):
        return _truth(wanted(column), len(column), f"the function of {what}")
    if is_ragged(column):
        raise InvalidArgument(f"{what} has several entries a row; give a function of the column")
    values = list(wanted) if isinstance(wanted, list | tuple | set | frozenset | np.ndarray | pd.Series) else [wanted]
    objects = any(hasattr(entry, "name") and not isinstance(entry, str) for entry in column)
    column = column.map(lambda entry: getattr(entry, "name", entry)) if objects else column  # electrode groups
    chosen = np.array(column.isin(values), dtype=bool)
    if any(isinstance(value, float) and np.isnan(value) for value in values):
        chosen |= column.isna().to_numpy(dtype=bool)
    if not chosen.any():
        there = ", ".join(map(repr, column.drop_duplicates().tolist()[:8]))
        raise InvalidArgument(f"{what} has no entry {' or '.join(map(repr, values[:5]))}; it has {there}")
    return chosen


def _truth(chosen: Any, rows: int, what: str) -> Bool[np.ndarray, " rows"]:
    found = np.asarray(chosen)
    if found.shape != (rows,) or found.dtype.kind not in "bO":
        raise InvalidArgument(
            f"{what} must give a truth value for each of {rows} rows; found the shape {list(found.shape)} and the type "
            f"{found.dtype}"
        )
    return np.asarray(pd.Series(found).fillna(False), dtype=bool)


def _line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
