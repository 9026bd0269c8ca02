"""Columns of tables as whole numbers: as they are, by codes, in bins, or by the number of their level."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int

from causalign.errors import InvalidArgument, unknown

Codes = Mapping[str, Mapping[Any, int]]
"""For some columns, the whole number that each entry stands for."""
Bins = Mapping[str, Sequence[float]]
"""For some columns of numbers, the edges of their bins."""
Numbers = tuple[Int[np.ndarray, " rows"], Bool[np.ndarray, " rows"]]
"""A column as whole numbers, and whether each row has one."""

_LARGEST = 2**53  # larger whole numbers are not exact in double precision


@dataclass(frozen=True)
class Coding:
    """How the entries of columns become whole numbers. Columns that are not named hold whole numbers already.

    Attributes:
        codes: For some columns, the whole number that each entry stands for.
        bins: For some columns of numbers, the edges of bins, in ascending order. An entry becomes the index of its bin:
            i if edge i <= entry < edge i + 1. The last bin includes its upper edge. Entries outside have no value.
        levels: Columns whose distinct entries, in their sorted order, are numbered from 0.
    """

    codes: Codes = field(default_factory=dict)
    bins: Bins = field(default_factory=dict)
    levels: Sequence[str] = ()

    def require_columns(self, columns: Sequence[str]) -> None:
        """Check that every column that is named is a variable, and is named once.

        Raises:
            InvalidArgument: A name is no variable or is in several of `codes`, `bins` and `levels`, or one of these is
                of another kind.
        """
        if not isinstance(self.codes, Mapping) or not all(isinstance(each, Mapping) for each in self.codes.values()):
            raise InvalidArgument("codes must have the number of each entry by column: {'choice': {'left': 0, ...}}")
        if not isinstance(self.bins, Mapping):
            raise InvalidArgument("bins must have the edges by column: {'contrast': [0, 0.25, 1]}")
        if isinstance(self.levels, str):
            raise InvalidArgument(f"levels must be a list of columns: levels=[{self.levels!r}]")
        named = [*self.codes, *self.bins, *self.levels]
        for name in named:
            if name not in columns:
                raise unknown("variable in codes, bins or levels", str(name), columns)
            if named.count(name) > 1:
                raise InvalidArgument(f"the column {name!r} is in several of codes, bins and levels; one is enough")

    def numbers(self, name: str, column: pd.Series) -> Numbers:
        """Return a column as whole numbers.

        Raises:
            InvalidArgument: The column does not hold whole numbers, an entry has no code, or the bins do not fit.
        """
        if name in self.codes:
            return _coded(name, column, self.codes[name])
        if name in self.bins:
            return _binned(name, column, self.bins[name])
        if name in self.levels:
            return _levelled(name, column)[:2]
        return whole_numbers(name, column)

    def level_names(self, name: str, column: pd.Series) -> tuple[Any, ...] | None:
        """Return the entry that each number of a column of `levels` stands for. `None` for other columns."""
        return _levelled(name, column)[2] if name in self.levels else None


def whole_numbers(name: str, column: pd.Series) -> Numbers:
    """Return a column of whole numbers, and whether each row has one.

    Raises:
        InvalidArgument: It does not hold whole numbers.
    """
    numbers, there = _reals(name, column)
    fractions = numbers[there] % 1 != 0
    if fractions.any():
        entry = numbers[there][fractions][0]
        raise InvalidArgument(
            f"the column {name!r} holds {entry}; variables are whole numbers: give the edges of bins "
            f"(bins = {{{name!r}: [...]}}), or take each distinct value (levels = [{name!r}])"
        )
    if (np.abs(numbers[there]) >= _LARGEST).any():
        raise InvalidArgument(f"the column {name!r} holds numbers of 2^53 or more, which are not exact; use levels")
    return np.where(there, numbers, 0).astype(np.int64), there


def _reals(name: str, column: pd.Series) -> tuple[Float[np.ndarray, " rows"], Bool[np.ndarray, " rows"]]:
    there = column.notna().to_numpy(dtype=bool)
    if pd.api.types.is_datetime64_any_dtype(column) or pd.api.types.is_timedelta64_dtype(column):
        raise InvalidArgument(f"the column {name!r} holds dates or durations; convert it to numbers first")
    try:
        numbers = column.to_numpy(dtype=np.float64, na_value=np.nan)
    except (TypeError, ValueError):
        entry = column[there].iloc[0]
        if isinstance(entry, list | tuple | np.ndarray):
            raise InvalidArgument(f"the column {name!r} has several entries a row, and no single value") from None
        raise InvalidArgument(
            f"the column {name!r} holds {entry!r}; variables are whole numbers: set the number of each text "
            f"(codes = {{{name!r}: {{{str(entry)!r}: 0, ...}}}}), or number the distinct ones (levels = [{name!r}])"
        ) from None
    if np.isinf(numbers).any():
        raise InvalidArgument(f"the column {name!r} holds infinite numbers")
    return numbers, there


def _coded(name: str, column: pd.Series, codes: Mapping[Any, int]) -> Numbers:
    """Return the codes of entries. A number or a truth value may be written as a text, as in TOML."""
    by_entry: dict[Hashable, Any] = dict(codes) | {str(entry): code for entry, code in codes.items()}
    index, distinct = _distinct(name, column)
    numbers, known = np.zeros(len(distinct) + 1, dtype=np.int64), np.zeros(len(distinct) + 1, dtype=bool)
    for place, entry in enumerate(distinct):
        known_as = (entry, str(entry), _text(entry))
        named = [each for each in known_as if each in by_entry]
        if not named:
            raise unknown(f"value of the column {name!r}", str(entry), [str(each) for each in codes])
        code = by_entry[named[0]]
        known[place] = not pd.isna(code)
        if known[place]:
            if int(code) != code:
                raise InvalidArgument(f"the code of {entry!r} in the column {name!r} is {code}, not a whole number")
            numbers[place] = int(code)
    return numbers[index], known[index]


def _distinct(name: str, column: pd.Series) -> tuple[Int[np.ndarray, " rows"], list[Any]]:
    """Return the index of each row's entry among the distinct ones, or -1 where there is none, and these entries."""
    try:
        index, distinct = pd.factorize(column)
    except TypeError:
        raise InvalidArgument(f"the column {name!r} has several entries a row, and no single value") from None
    return index.astype(np.int64), distinct.tolist()


def _text(entry: Any) -> str:
    whole = isinstance(entry, float | np.floating) and float(entry).is_integer()
    return str(int(entry)) if whole else str(entry)


def _binned(name: str, column: pd.Series, edges: Sequence[float]) -> Numbers:
    numbers, there = _reals(name, column)
    limits = np.asarray(edges, dtype=np.float64)
    if limits.ndim != 1 or len(limits) < 2 or not (np.diff(limits) > 0).all():
        raise InvalidArgument(f"the bins of {name!r} must be at least two edges in ascending order; found {edges}")
    index = np.searchsorted(limits, numbers, side="right") - 1
    index[numbers == limits[-1]] = len(limits) - 2
    within = there & (numbers >= limits[0]) & (numbers <= limits[-1])
    return np.where(within, index, 0).astype(np.int64), within


def _levelled(
    name: str, column: pd.Series
) -> tuple[Int[np.ndarray, " rows"], Bool[np.ndarray, " rows"], tuple[Any, ...]]:
    index, distinct = _distinct(name, column)
    try:
        order = sorted(range(len(distinct)), key=lambda place: distinct[place])
    except TypeError:
        raise InvalidArgument(f"the column {name!r} holds entries that cannot be sorted; give codes") from None
    number = np.zeros(len(distinct) + 1, dtype=np.int64)
    number[order] = np.arange(len(distinct))
    return number[index], index >= 0, tuple(distinct[place] for place in order)
