"""The values of variables at each sample of a recording, read from a table."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pandas as pd
from jaxtyping import Bool, Int

from causalign.errors import InvalidArgument, unknown
from causalign.recordings.columns import Coding, whole_numbers
from causalign.recordings.layout import Layout

TRIAL, TIME = "trial", "time"
Rows = Literal["trial", "sample"]
"""What a row of a table of variables is of."""


@dataclass(frozen=True, eq=False)
class SampleValues:
    """The recorded values of variables at each sample."""

    variables: dict[str, Int[np.ndarray, " samples"]]
    """The value of every variable at each sample, trial after trial. It is arbitrary where it is not known."""
    known: Bool[np.ndarray, " samples"]
    """Whether all variables are known at a sample."""
    rows: Rows
    """Whether the table has a row a trial or a row a sample."""
    levels: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    """The entry that each number stands for, for the columns that are numbered by their distinct entries."""

    @classmethod
    def of(
        cls,
        table: pd.DataFrame,
        names: Sequence[str] | None,
        layout: Layout,
        *,
        rows: Rows | None = None,
        coding: Coding | None = None,
    ) -> "SampleValues":
        """Read a table with a row a trial or, with the columns `trial` and `time`, a row a sample.

        Both columns count from 0. The row of a trial holds for all its samples. A sample without a row is not known.

        Args:
            table: The table.
            names: The columns that are variables. If `None`, all are, but for `trial` and `time` of a row a sample.
            layout: The number of samples of each trial.
            rows: `trial` or `sample`. If `None`, `rows_of` decides.
            coding: How the entries of columns become whole numbers.

        Raises:
            InvalidArgument: A column is missing or does not hold whole numbers, a row is for a sample that does not
                exist, a sample has several rows, or it is not clear what a row is of.
        """
        if not isinstance(table, pd.DataFrame):
            raise InvalidArgument(f"variables must be a pandas DataFrame, found {type(table).__name__}")
        if isinstance(names, str):
            raise InvalidArgument(f"columns must be a list of columns: columns=[{names!r}]")
        table = table.reset_index() if {TRIAL, TIME} & set(table.index.names) else table
        rows = rows or rows_of(table, layout.trials)
        own = (TRIAL, TIME) if rows == "sample" else ()
        chosen = [str(name) for name in table.columns if name not in own] if names is None else list(names)
        if not chosen:
            raise InvalidArgument("the table of variables has no column with a variable")
        coding = coding or Coding()
        coding.require_columns(chosen)
        values = cls({}, np.ones(layout.total, dtype=bool), rows)
        places = _places(table, layout) if rows == "sample" else None
        if places is None and len(table) != layout.trials:
            raise InvalidArgument(
                f"the table of variables has {len(table)} rows for {layout.trials} trials; expected a row a trial, or "
                f"a row a sample with the columns {TRIAL!r} and {TIME!r}"
            )
        for name in chosen:
            values._read(name, _column(table, name), layout, coding=coding, places=places)
        return values

    def _read(
        self,
        name: str,
        column: pd.Series,
        layout: Layout,
        *,
        coding: Coding,
        places: Int[np.ndarray, " rows"] | None,
    ) -> None:
        numbers, there = coding.numbers(name, column)
        if places is None:
            self.variables[name] = numbers[layout.trial]
            self.known[:] &= there[layout.trial]
        else:
            self.variables[name], known = np.zeros(layout.total, np.int64), np.zeros(layout.total, bool)
            self.variables[name][places], known[places] = numbers, there
            self.known[:] &= known
        if (levels := coding.level_names(name, column)) is not None:
            self.levels[name] = levels

    def within(
        self, present: Bool[np.ndarray, " samples"], layout: Layout, open_ended: bool
    ) -> Bool[np.ndarray, " samples"]:
        """Return whether all variables are known at each sample and the trial is not over.

        The values of a row a trial last until the end of the trial.

        Args:
            present: Whether every unit has a value at a sample.
            layout: The number of samples of each trial.
            open_ended: Whether a trial ends with its last sample at which every unit has a value.
        """
        if self.rows == "sample" or not open_ended:
            return self.known
        return self.known & (layout.position < layout.last(present)[layout.trial])


def rows_of(table: pd.DataFrame, trials: int) -> Rows:
    """Return what a row of a table is of.

    It is of a sample if the table has the columns `trial` and `time` and some trial has several rows. It is of a trial
    if one of these columns is missing.

    Raises:
        InvalidArgument: The table has both columns, and no trial has several rows.
    """
    if not {TRIAL, TIME} <= set(table.columns):
        return "trial"
    if table[TRIAL].duplicated().any():
        return "sample"
    raise InvalidArgument(
        f"the table of variables has the columns {TRIAL!r} and {TIME!r} and {len(table)} rows for {trials} trials, no "
        "two of one trial: say what a row is of, rows='trial' or rows='sample'"
    )


def _column(table: pd.DataFrame, name: str) -> pd.Series:
    if name not in table.columns:
        raise unknown("variable", name, [str(column) for column in table.columns])
    return table[name]


def _places(table: pd.DataFrame, layout: Layout) -> Int[np.ndarray, " rows"]:
    for name in (TRIAL, TIME):
        if name not in table.columns:
            raise InvalidArgument(
                f"a table with a row a sample has the columns {TRIAL!r} and {TIME!r}; {name!r} is not there"
            )
    trial, position = (_counted(table, name) for name in (TRIAL, TIME))
    beyond = (trial < 0) | (trial >= layout.trials) | (position < 0)
    beyond |= position >= layout.samples[np.clip(trial, 0, layout.trials - 1)]
    if beyond.any():
        row = int(np.flatnonzero(beyond)[0])
        raise InvalidArgument(
            f"row {row} of the table of variables is of trial {trial[row]}, sample {position[row]}; the recording has "
            f"{layout.trials} trials of up to {layout.time} samples, both counted from 0"
        )
    places = layout.first[trial] + position
    if len(np.unique(places)) < len(places):
        raise InvalidArgument("the table of variables has several rows of one sample")
    return places


def _counted(table: pd.DataFrame, name: str) -> Int[np.ndarray, " rows"]:
    column = table[name]
    try:
        numbers, there = whole_numbers(name, column)
    except InvalidArgument:
        raise InvalidArgument(
            f"the column {name!r} of a row a sample counts {name + 's' if name == TRIAL else 'samples'} from 0, and "
            f"holds {column[column.notna()].tolist()[0]!r}; convert it first, or say rows='trial'"
        ) from None
    if not there.all():
        raise InvalidArgument(
            f"the column {name!r} of a row a sample has no value in row {int(np.flatnonzero(~there)[0])}"
        )
    return numbers
