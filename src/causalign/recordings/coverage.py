"""Coverage of a recording: which samples can be matched, and how many there are of every value."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Bool, Int

from causalign.errors import InvalidArgument
from causalign.recordings.splits import Splits


@dataclass(frozen=True, eq=False)
class Coverage:
    """The samples of a recording that are used, and the counts of all samples by value."""

    used: Bool[np.ndarray, "trials time"]
    """Whether a sample is used."""
    table: pd.DataFrame
    """One row for every value in every split. `Recording.coverage` describes the columns."""


def covered(
    values: Mapping[str, Int[np.ndarray, "trials time"]],
    known: Bool[np.ndarray, "trials time"],
    present: Bool[np.ndarray, "trials time"],
    splits: Splits,
    fewest: int,
) -> Coverage:
    """Return the coverage of a recording.

    A sample is used if it is present and at least `fewest` trials of its split have its values.

    Args:
        values: The value of every variable at each sample.
        known: Whether the values at a sample are known.
        present: Whether every unit has a value at a sample.
        splits: The trials of each split.
        fewest: Number of trials of a split that must have the same values.

    Raises:
        InvalidArgument: A split has no value that enough trials have.
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
                "have (fewest), so nothing can be matched"
            )
        tables.append(pd.DataFrame(dict(zip(values, classes.T, strict=True)) | counts))
    return Coverage(used, pd.concat(tables, ignore_index=True))


def _classes(
    columns: list[Int[np.ndarray, " samples"]],
) -> tuple[Int[np.ndarray, "classes columns"], Int[np.ndarray, " samples"]]:
    """Return the distinct rows of some columns, and the index of each row among them."""
    key = np.zeros(len(columns[0]), dtype=np.int64)
    for column in columns:  # np.unique(axis=0) sorts rows as bytes, which takes ten times as long
        distinct, which = np.unique(column, return_inverse=True)
        key = np.unique(key * len(distinct) + which, return_inverse=True)[1]
    _, first, which = np.unique(key, return_index=True, return_inverse=True)
    return np.stack([column[first] for column in columns], axis=1), which
