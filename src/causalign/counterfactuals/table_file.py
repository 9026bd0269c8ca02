"""Files of tables: text, JSON and parquet."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from causalign.counterfactuals.row_source import SPLITS
from causalign.errors import FileFormatError, InvalidArgument, lookup

_READERS: Mapping[str, Callable[[Path], pd.DataFrame]] = {
    ".csv": lambda path: pd.read_csv(path, dtype=str, keep_default_na=False),
    ".tsv": lambda path: pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False),
    ".json": lambda path: pd.read_json(path, dtype=False),
    ".jsonl": lambda path: pd.read_json(path, lines=True, dtype=False),
    ".parquet": lambda path: pd.read_parquet(path),
}
"""How files are read. What a file has as text stays text: a label `10` is a word, and not the token with this id."""


def read_table(path: Path, positions: Sequence[object] = ()) -> pd.DataFrame:
    """Read a table by the ending of its name.

    Args:
        path: The file.
        positions: Positions of which those that are names of columns hold whole numbers, which may be there as text.

    Raises:
        FileFormatError: The file cannot be read, or is not a table.
        InvalidArgument: The ending is unknown, or a position is no whole number.
    """
    reader = lookup("ending of a table", path.suffix, _READERS)
    try:
        frame = reader(path)
    except (OSError, ValueError, ImportError) as error:
        raise FileFormatError(f"cannot read the table {path}: {error}") from None
    for name in positions:
        if isinstance(name, str) and name in frame:
            frame[name] = _whole_numbers(frame[name], name)
    return frame


def read_tables(table: Any, positions: Sequence[object] = ()) -> Any:
    """Return a table, which is read if it is the path of one. Of a table for each split, each is.

    The other argument and the errors are those of `read_table`.
    """
    if isinstance(table, str | Path):
        return read_table(Path(table), positions)
    if isinstance(table, Mapping) and set(table) == set(SPLITS):
        paths = {name: Path(each) for name, each in table.items() if isinstance(each, str | Path)}
        return {**table, **{name: read_table(path, positions) for name, path in paths.items()}}
    return table


def _whole_numbers(column: pd.Series, name: str) -> pd.Series:
    """Return a column of positions as whole numbers, which a text file has as text.

    Raises:
        InvalidArgument: An entry is something else; its row is named.
    """
    numbers = pd.to_numeric(column, errors="coerce")
    wrong = numbers.isna() | (numbers % 1 != 0)
    if wrong.any():
        row = int(wrong.to_numpy().argmax())
        raise InvalidArgument(f"row {row}: the position in {name!r} is a whole number, found {column.iloc[row]!r}")
    return numbers.astype(int)
