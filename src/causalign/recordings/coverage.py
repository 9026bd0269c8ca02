"""Coverage of a recording: which samples can be matched, and how many there are of every value."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Bool, Int

from causalign.errors import InvalidArgument
from causalign.recordings.layout import Layout
from causalign.recordings.splits import Splits


@dataclass(frozen=True, eq=False)
class Coverage:
    """The samples of a recording that are used, and the counts of all samples by value."""

    used: Bool[np.ndarray, " samples"]
    """Whether a sample is used."""
    table: pd.DataFrame
    """One row for every value in every split. `Recording.coverage` describes the columns."""

    def require(self, split: str, trials: int, fewest: int) -> None:
        """Check that a split has a value that enough trials have.

        Args:
            split: The split.
            trials: The number of its trials.
            fewest: The number of trials that must have the same values.

        Raises:
            InvalidArgument: It has none. The message says how many trials its most frequent value has.
        """
        rows = self.table[self.table["split"] == split]
        if not rows["used"].any():
            raise InvalidArgument(
                f"the recording's split {split!r} ({trials} trials) has no value that at least {fewest} trials have "
                f"(fewest), so nothing can be matched: its most frequent value has {max(rows['trials'], default=0)} "
                f"trials, and {rows['missing'].sum():,} of its {rows[['samples', 'missing']].sum().sum():,} samples "
                "are missing"
            )


def covered(
    values: Mapping[str, Int[np.ndarray, " samples"]],
    known: Bool[np.ndarray, " samples"],
    present: Bool[np.ndarray, " samples"],
    layout: Layout,
    *,
    splits: Splits,
    fewest: int,
) -> Coverage:
    """Return the coverage of a recording.

    A sample is used if it is present and at least `fewest` trials of its split have its values.

    Args:
        values: The value of every variable at each sample.
        known: Whether the values at a sample are known.
        present: Whether every unit has a value at a sample.
        layout: The number of samples of each trial.
        splits: The trials of each split.
        fewest: Number of trials of a split that must have the same values.
    """
    used, lengths = np.zeros_like(known), layout.last(known)
    tables = []
    for split, trials in splits.items():
        places = layout.places(trials)
        places = places[known[places]]
        trial = layout.trial[places]
        classes, which = _classes([value[places] for value in values.values()])
        there = present[places]
        pairs = np.unique(which[there] * layout.trials + trial[there])
        repeats = np.bincount(pairs // layout.trials, minlength=len(classes))
        enough = repeats >= fewest
        used[places] = there & enough[which]
        shortest, longest = np.full(len(classes), layout.time), np.zeros(len(classes), dtype=np.int64)
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
