"""A struct of arrays: named columns with one entry per row."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Generic, TypeVar

import numpy as np
from torch import Tensor

from causalign.storage import Store

Column = TypeVar("Column", np.ndarray, Tensor)


class Columns(Generic[Column]):
    """Named columns of the same length, all numpy arrays or all torch tensors."""

    def __init__(self, columns: Mapping[str, Column]) -> None:
        self._columns: dict[str, Column] = dict(columns)

    def __getitem__(self, name: str) -> Column:
        return self._columns[name]

    def __contains__(self, name: str) -> bool:
        return name in self._columns

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __len__(self) -> int:
        return len(next(iter(self._columns.values())))

    @property
    def nbytes(self) -> int:
        """The size of all columns in bytes."""
        return sum(column.nbytes for column in self._columns.values())

    def mapping(self) -> dict[str, Column]:
        """Return the columns by name."""
        return dict(self._columns)

    def take(self, rows: Any) -> "Columns[Column]":
        """Return some rows, by an index, a mask or a slice."""
        return Columns({name: column[rows] for name, column in self._columns.items()})

    def replaced(self, **columns: Column) -> "Columns[Column]":
        """Return the columns with some of them replaced or added."""
        return Columns(self._columns | columns)

    def group(self, prefix: str) -> dict[str, Column]:
        """Return the columns whose names begin with a prefix, which is removed from their names."""
        return {name.removeprefix(prefix): self[name] for name in self if name.startswith(prefix)}


def concatenate(parts: Sequence[Columns[np.ndarray]]) -> Columns[np.ndarray]:
    """Return the rows of several numpy columns, one after another."""
    return Columns({name: np.concatenate([part[name] for part in parts]) for name in parts[0]})


def stored(parts: Sequence[Columns[Tensor]], store: Store) -> Columns[Tensor]:
    """Return the rows of several torch columns as one table of a store, each padded with zeros to its widest part."""
    return Columns(store.columns({name: [part[name] for part in parts] for name in parts[0]}))
