"""Disjoint splits of user-supplied rows into train, validation and test."""

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Int

from causalign.counterfactuals.row_source import SPLITS
from causalign.errors import InvalidArgument, unknown
from causalign.random_streams import numpy_stream

SHARES = (0.8, 0.1, 0.1)
"""The default shares of train, validation and test rows in a random split."""
Split = Sequence[float] | Sequence[str]
Indices = dict[str, Int[np.ndarray, " rows"]]


def split_rows(keys: Sequence[Hashable], split: Split, seed: int) -> tuple[Indices, tuple[str, ...]]:
    """Split rows at random, or by a name for each row.

    Args:
        keys: The key of each row. Rows with the same key are equal, and stay in one split.
        split: The shares of train, validation and test rows; or `"train"`, `"validation"` or `"test"` for each row.
        seed: The seed of a random split.

    Returns:
        The indices of the rows of each split, and notes on them, one sentence each.

    Raises:
        InvalidArgument: The shares are not positive or exceed 1, a name is unknown, a split is empty, or the same row
            is in two splits.
    """
    if split is None or isinstance(split, str):
        raise InvalidArgument(f"split must be three shares, or a name for each row; found {split!r}")
    names: list[Any] = list(split)
    if len(names) == len(SPLITS) and all(isinstance(each, float | int) for each in names):
        return _drawn(keys, [float(each) for each in names], seed)
    if len(names) != len(keys):
        raise InvalidArgument(
            f"split must be three shares, or one of {', '.join(SPLITS)} for each row; found {len(names)} entries"
        )
    for name in names:
        if name not in SPLITS:
            raise unknown("split", str(name), SPLITS)
    of_rows = np.array(names)
    found = {name: np.flatnonzero(of_rows == name) for name in SPLITS}
    require_disjoint({name: [keys[int(row)] for row in rows] for name, rows in found.items()})
    return found, ()


def split_of_kept(split: Split, kept: Int[np.ndarray, " rows"]) -> Split:
    """Return the split of some rows: the names of these, or the shares as they are."""
    names: list[Any] = list(split)
    return [names[int(row)] for row in kept] if any(isinstance(each, str) for each in names) else split


def require_disjoint(keys: Mapping[str, Sequence[Hashable]]) -> None:
    """Check that every split has rows, and that no two splits share a row.

    Raises:
        InvalidArgument: A split is empty, or two splits share a row.
    """
    for name in SPLITS:
        if not len(keys[name]):
            raise InvalidArgument(f"the split {name} has no rows")
    for index, name in enumerate(SPLITS):
        for other in SPLITS[index + 1 :]:
            both = set(keys[name]) & set(keys[other])
            if both:
                raise InvalidArgument(
                    f"{len(both)} rows are both in {name} and in {other}: scores need rows that no search has seen"
                )


def _drawn(keys: Sequence[Hashable], shares: Sequence[float], seed: int) -> tuple[Indices, tuple[str, ...]]:
    if not all(share > 0 for share in shares) or sum(shares) > 1 + 1e-9:
        raise InvalidArgument(f"split must be three positive shares whose sum is at most 1, found {tuple(shares)}")
    distinct = {key: index for index, key in enumerate(dict.fromkeys(keys))}
    of_rows = np.array([distinct[key] for key in keys])
    if len(distinct) < len(SPLITS):
        raise InvalidArgument(f"three splits need at least 3 different rows, found {len(distinct)}")
    order = numpy_stream(seed, "split").permutation(len(distinct))
    validation, test = (max(1, round(share * len(distinct))) for share in shares[1:])
    train = min(len(distinct) - validation - test, max(1, round(shares[0] * len(distinct))))
    parts = np.split(order, np.cumsum([train, validation, test]))[:3]
    found = {name: np.flatnonzero(np.isin(of_rows, part)) for name, part in zip(SPLITS, parts, strict=True)}
    repeated = len(keys) - len(distinct)
    notes = (f"{repeated:,} rows occur more than once; copies of a row stay in one split.",) if repeated else ()
    return found, notes
