"""What a recording can be asked about, and what it cannot: counted by value, none guessed."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Bool, Int

from causalign.errors import InvalidArgument
from causalign.recordings.splits import Splits


@dataclass(frozen=True, eq=False)
class Coverage:
    """Which samples of a recording are used, and the account of all of them."""

    used: Bool[np.ndarray, "trials time"]
    table: pd.DataFrame
    """A row for every value in every split; the columns are said in `Recording.coverage`."""


def covered(
    values: Mapping[str, Int[np.ndarray, "trials time"]],
    known: Bool[np.ndarray, "trials time"],
    present: Bool[np.ndarray, "trials time"],
    splits: Splits,
    fewest: int,
) -> Coverage:
    """Use the samples that are present, and whose value at least `fewest` trials of their split have.

    Raises:
        InvalidArgument: a split has no sample that can be used.
    """
    used, lengths = np.zeros_like(known), known.shape[1] - known[:, ::-1].argmax(axis=1)
    tables = []
    for split, trials in splits.items():
        trial, position = (part for part in known[trials].nonzero())
        trial = trials[trial]
        classes, which = _classes([value[trial, position] for value in values.values()])
        there = present[trial, position]
        pairs = np.unique(np.stack([which[there], trial[there]]), axis=1)
        repeats = np.bincount(pairs[0], minlength=len(classes))
        enough = repeats >= fewest
        used[trial, position] = there & enough[which]
        shortest, longest = np.full(len(classes), known.shape[1]), np.zeros(len(classes), dtype=np.int64)
        np.minimum.at(shortest, which, lengths[trial])
        np.maximum.at(longest, which, lengths[trial])
        counts = {
            "split": split,
            "trials": repeats,
            "samples": np.bincount(which[there], minlength=len(classes)),
            "missing": np.bincount(which[~there], minlength=len(classes)),
            "shortest": shortest,
            "longest": longest,
            "used": enough,
        }
        if not enough.any():
            raise InvalidArgument(
                f"the recording's split {split!r} ({len(trials)} trials) has no value that at least {fewest} trials "
                "have: nothing could be matched (fewest)"
            )
        tables.append(pd.DataFrame(dict(zip(values, classes.T, strict=True)) | counts))
    return Coverage(used, pd.concat(tables, ignore_index=True))


def _classes(
    columns: list[Int[np.ndarray, " samples"]],
) -> tuple[Int[np.ndarray, "classes columns"], Int[np.ndarray, " samples"]]:
    """The different rows of some columns, and which of them each row is."""
    key = np.zeros(len(columns[0]), dtype=np.int64)
    for column in columns:  # np.unique of rows would sort them as bytes, which takes ten times as long
        distinct, which = np.unique(column, return_inverse=True)
        key = np.unique(key * len(distinct) + which, return_inverse=True)[1]
    _, first, which = np.unique(key, return_index=True, return_inverse=True)
    return np.stack([column[first] for column in columns], axis=1), which
