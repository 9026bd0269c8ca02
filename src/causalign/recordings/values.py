"""The values of variables at each sample of a recording, read from a table."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Bool, Int

from causalign.errors import InvalidArgument, unknown

TRIAL, TIME = "trial", "time"
Codes = Mapping[str, Mapping[str, int]]
"""For each column of text, the whole number that each text stands for."""


@dataclass(frozen=True, eq=False)
class TrialTable:
    """The recorded values of variables at each sample."""

    variables: dict[str, Int[np.ndarray, "trials time"]]
    """The value of every variable at each sample. It is arbitrary where it is not known."""
    known: Bool[np.ndarray, "trials time"]
    """Whether all variables are known at a sample."""
    by_sample: bool
    """Whether the table has a row a sample, rather than a row a trial."""

    @classmethod
    def of(
        cls, table: pd.DataFrame, names: Sequence[str] | None, trials: int, time: int, codes: Codes | None = None
    ) -> "TrialTable":
        """Read a table with a row a trial or, if it has the columns `trial` and `time`, a row a sample.

        Both columns count from 0. The row of a trial holds for all its samples. A sample without a row is not known.

        Args:
            table: The table.
            names: The columns that are variables. If `None`, all but `trial` and `time` are.
            trials: The number of trials of the recording.
            time: The number of samples of its longest trial.
            codes: For columns of text, the whole number that each text stands for.

        Raises:
            InvalidArgument: A column is missing or does not hold whole numbers, a row is for a sample that does not
                exist, or a sample has several rows.
        """
        if not isinstance(table, pd.DataFrame):
            raise InvalidArgument(f"variables must be a pandas DataFrame, found {type(table).__name__}")
        table = table.reset_index() if {TRIAL, TIME} & set(table.index.names) else table
        by_sample = {TRIAL, TIME} <= set(table.columns)
        names = [str(name) for name in table.columns if name not in (TRIAL, TIME)] if names is None else list(names)
        if not names:
            raise InvalidArgument("the table of variables has no column with a variable")
        if by_sample:
            place = _places(table, trials, time)
        elif len(table) != trials:
            raise InvalidArgument(
                f"the table of variables has {len(table)} rows for {trials} trials; expected a row a trial, or a row a "
                f"sample with the columns {TRIAL!r} and {TIME!r}"
            )
        values, known = {}, np.ones((trials, time), dtype=bool)
        for name in names:
            column, there = whole_numbers(table, name, (codes or {}).get(name))
            if by_sample:
                values[name], of_samples = np.zeros((trials, time), dtype=np.int64), np.zeros((trials, time), bool)
                values[name][place], of_samples[place] = column, there
                known &= of_samples
            else:
                values[name] = np.repeat(column[:, None], time, axis=1)
                known &= there[:, None]
        return cls(values, known, by_sample)

    def within(
        self, present: Bool[np.ndarray, "trials time"], lengths: Int[np.ndarray, " trials"] | None
    ) -> Bool[np.ndarray, "trials time"]:
        """Return whether all variables are known at each sample and the trial is not over.

        The values of a row a trial last until the end of the trial.

        Args:
            present: Whether every unit has a value at a sample.
            lengths: The number of samples of each trial. If `None`, a trial ends with its last sample.
        """
        if self.by_sample:
            return self.known
        if lengths is None:
            return self.known & (np.cumsum(present[:, ::-1], axis=1)[:, ::-1] > 0)
        return self.known & (np.arange(present.shape[1]) < lengths[:, None])


def whole_numbers(
    table: pd.DataFrame, name: str, codes: Mapping[str, int] | None = None
) -> tuple[Int[np.ndarray, " rows"], Bool[np.ndarray, " rows"]]:
    """Return a column as whole numbers, and whether each row has one.

    Args:
        table: The table.
        name: The column.
        codes: For a column of text, the whole number that each text stands for.

    Raises:
        InvalidArgument: There is no such column, it does not hold whole numbers, or a text has no code.
    """
    if name not in table.columns:
        raise unknown("variable", name, [str(column) for column in table.columns])
    column = table[name]
    if codes is not None:
        strange = set(column.dropna().astype(str)) - set(codes)
        if strange:
            raise unknown(f"value of the column {name!r}", min(strange), codes)
        column = column.astype(str).map(codes).where(column.notna())
    there = column.notna().to_numpy()
    try:
        numbers = column.to_numpy(dtype=np.float64, na_value=np.nan)
    except (TypeError, ValueError):
        found = column[there].iloc[0]
        raise InvalidArgument(
            f"the column {name!r} holds {found!r}; variables are whole numbers: set the number of each text "
            f"(codes = {{{name!r}: {{{str(found)!r}: 0, ...}}}})"
        ) from None
    if (numbers[there] % 1).any():
        found = numbers[there][numbers[there] % 1 != 0][0]
        raise InvalidArgument(f"the column {name!r} holds {found}; variables are whole numbers: bin the values first")
    return np.where(there, numbers, 0).astype(np.int64), there


def _places(table: pd.DataFrame, trials: int, time: int) -> tuple[Int[np.ndarray, " rows"], Int[np.ndarray, " rows"]]:
    trial, position = (table[name].to_numpy(dtype=np.int64) for name in (TRIAL, TIME))
    beyond = (trial < 0) | (trial >= trials) | (position < 0) | (position >= time)
    if beyond.any():
        row = int(np.flatnonzero(beyond)[0])
        raise InvalidArgument(
            f"row {row} of the table of variables is of trial {trial[row]}, sample {position[row]}; the recording has "
            f"{trials} trials of up to {time} samples, both counted from 0"
        )
    if len(table) > len(np.unique(trial * time + position)):
        raise InvalidArgument("the table of variables has several rows of one sample")
    return trial, position
