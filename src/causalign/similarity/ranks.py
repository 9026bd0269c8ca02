"""Average ranks for Spearman's correlation, of more distances than can be sorted together with their order.

A distance and its index share the 64 bits of a key, so that sorting in place keeps the index. If there are many
distances, their last bits (the rest) do not fit into the key. The keys are then sorted by the leading bits (the level)
first, and then by the rest, group by group.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int64, UInt32, UInt64

MOST = (
    2**30
)  # distances that can be ranked: a key of the last sort has room for an index, a rest and one of 2^13 levels

_DISTANCE_BITS = 55  # 1 - cos is a whole number of 2^-53, the spacing of float64 below 1, and at most 2
_PIECE = 2**13  # keys processed at once: few enough for the cache, and at most 2^13, the levels of a group

DoubledRanks = UInt32[
    np.ndarray, " distances"
]  # the average of two ranks may be half-integral; its double is a whole number
Keys = UInt64[np.ndarray, " keys"]
Group = UInt64[np.ndarray, " group"]


def doubled_ranks(distances: Float[np.ndarray, " distances"]) -> DoubledRanks:
    """Return twice the average ranks, counted from 1.

    The ranks are exact. They take the memory of the distances and 4 bytes for each distance.

    Args:
        distances: The distances 1 - cos, at most `MOST`. They are overwritten, because their memory is used.
    """
    bits = _Bits.of(len(distances))
    keys, rest = _packed(distances, bits)
    keys.sort()
    start = 0
    while start < len(keys):
        group = _first_group(keys[start:], bits)
        _sort_by_rest(group, rest, bits)
        _write_ranks(rest, group, start, bits)  # overwrites the rest, which is as large and no longer needed
        start += len(group)
    return rest


@dataclass(frozen=True)
class _Bits:
    """The layout of a key: the index in its lowest bits, and above it the leading bits of a distance."""

    index: np.uint64
    """The number of bits of the index."""
    rest: np.uint64
    """The number of last bits of a distance that do not fit into the key."""
    is_index: np.uint64
    """The mask of the bits of the index."""

    @classmethod
    def of(cls, distances: int) -> "_Bits":
        index = (distances - 1).bit_length()
        return cls(np.uint64(index), np.uint64(max(0, _DISTANCE_BITS + index - 64)), np.uint64(2**index - 1))


def _packed(distances: Float[np.ndarray, " keys"], bits: _Bits) -> tuple[Keys, UInt32[np.ndarray, " keys"]]:
    """Return the keys (level above index) in the memory of the distances, and the rest of each distance by index."""
    keys, rest = distances.view(np.uint64), np.empty(len(distances), np.uint32)
    for here in _pieces(len(keys)):
        whole = (distances[here] * 2.0**53).astype(np.uint64)
        level = whole >> bits.rest
        rest[here] = whole ^ (level << bits.rest)
        keys[here] = (level << bits.index) | np.arange(here.start, here.stop, dtype=np.uint64)
    return keys, rest


def _first_group(keys: Keys, bits: _Bits) -> Group:
    """Return the first whole levels of the sorted keys: as many as fit in a piece, or a single larger one."""
    if len(keys) <= _PIECE:
        return keys
    cut = keys[_PIECE]
    end = np.searchsorted(keys, cut & ~bits.is_index) or np.searchsorted(keys, cut | bits.is_index, side="right")
    return keys[:end]


def _sort_by_rest(group: Group, rest: UInt32[np.ndarray, " distances"], bits: _Bits) -> None:
    """Sort a group by level and rest. Its keys become the number of the level in the group, the rest and the index."""
    for here in _pieces(len(group)):  # a group of several pieces has a single level, numbered 0 in each
        level, index = group[here] >> bits.index, group[here] & bits.is_index
        number = np.append(np.uint64(0), np.cumsum(level[1:] != level[:-1], dtype=np.uint64))
        value = (number << bits.rest) | rest[index.view(np.int64)]
        group[here] = (value << bits.index) | index
    group.sort()


def _write_ranks(ranks: DoubledRanks, group: Group, below: int, bits: _Bits) -> None:
    """Write twice the average ranks of a sorted group. `below` is the number of smaller keys."""
    for here in _pieces(len(group)):
        part = group[here]
        begin = np.searchsorted(group, part[0] & ~bits.is_index)  # ties of the first key may begin before the piece
        end = np.searchsorted(group, part[-1] | bits.is_index, side="right")  # ties of the last key may end after it
        index = (part & bits.is_index).view(np.int64)
        ranks[index] = 2 * below + _doubled_ranks_of_sorted(part >> bits.index, here.start, int(begin), int(end))


def _doubled_ranks_of_sorted(
    values: UInt64[np.ndarray, " part"], start: int, begin: int, end: int
) -> Int64[np.ndarray, " part"]:
    """Return twice the average ranks in a sorted sequence: the index where ties begin, plus where they end, plus 1.

    Args:
        values: A part of the sequence.
        start: The index where the part begins.
        begin: The index where the ties of its first value begin.
        end: The index where the ties of its last value end.
    """
    changes = start + 1 + np.flatnonzero(values[1:] != values[:-1])
    times = np.diff(changes, prepend=start, append=start + len(values))
    return np.repeat(np.append(begin, changes) + np.append(changes, end) + 1, times)


def _pieces(length: int) -> Iterator[slice]:
    for start in range(0, length, _PIECE):
        yield slice(start, min(start + _PIECE, length))
