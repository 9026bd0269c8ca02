"""Average ranks, as Spearman's correlation takes them, of more distances than can be sorted with their order beside.

A distance and its index share 64 bits, so that sorting in place keeps the index. Many distances leave no room for their
last bits, the rest: the keys are first sorted by the leading bits, the level, and then group by group by the rest.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int64, UInt32, UInt64

MOST = 2**30  # distances that can be ranked: a key of the last sort then holds an index, a rest and one of 2^13 levels

_DISTANCE_BITS = 55  # 1 - cos is a whole number of 2^-53, the spacing of float64 below 1, and at most 2
_PIECE = 2**13  # keys looked at together, few enough to stay in the cache; at most 2^13, the levels of a group

DoubledRanks = UInt32[np.ndarray, " distances"]  # the average of two ranks may end on a half, its double does not
Keys = UInt64[np.ndarray, " keys"]
Group = UInt64[np.ndarray, " group"]


def doubled_ranks(distances: Float[np.ndarray, " distances"]) -> DoubledRanks:
    """Twice the average ranks, counted from 1; exact, in the memory of the distances and 4 bytes each.

    Args:
        distances: 1 - cos, at most `MOST`; their memory is used, and they are lost.
    """
    bits = _Bits.of(len(distances))
    keys, rest = _packed(distances, bits)
    keys.sort()
    start = 0
    while start < len(keys):
        group = _first_group(keys[start:], bits)
        _sort_by_rest(group, rest, bits)
        _write_ranks(rest, group, start, bits)  # in the place of the rest, which has been used and is as large
        start += len(group)
    return rest


@dataclass(frozen=True)
class _Bits:
    """How many bits of a key are its index, the lowest, and how many bits of a distance find no room above it."""

    index: np.uint64
    rest: np.uint64
    is_index: np.uint64
    """The bits of the index set, the others not."""

    @classmethod
    def of(cls, distances: int) -> "_Bits":
        index = (distances - 1).bit_length()
        return cls(np.uint64(index), np.uint64(max(0, _DISTANCE_BITS + index - 64)), np.uint64(2**index - 1))


def _packed(distances: Float[np.ndarray, " keys"], bits: _Bits) -> tuple[Keys, UInt32[np.ndarray, " keys"]]:
    """The keys, level above index, in the memory of the distances; and the rest of each distance, by index."""
    keys, rest = distances.view(np.uint64), np.empty(len(distances), np.uint32)
    for here in _pieces(len(keys)):
        whole = (distances[here] * 2.0**53).astype(np.uint64)
        level = whole >> bits.rest
        rest[here] = whole ^ (level << bits.rest)
        keys[here] = (level << bits.index) | np.arange(here.start, here.stop, dtype=np.uint64)
    return keys, rest


def _first_group(keys: Keys, bits: _Bits) -> Group:
    """The first whole levels of the sorted keys: as many as fit in a piece, or a single one that is larger."""
    if len(keys) <= _PIECE:
        return keys
    cut = keys[_PIECE]
    end = np.searchsorted(keys, cut & ~bits.is_index) or np.searchsorted(keys, cut | bits.is_index, side="right")
    return keys[:end]


def _sort_by_rest(group: Group, rest: UInt32[np.ndarray, " distances"], bits: _Bits) -> None:
    """Sort a group by level and rest: its keys become the level's number in the group, the rest and the index."""
    for here in _pieces(len(group)):  # several only of a single level, whose number is 0 in each
        level, index = group[here] >> bits.index, group[here] & bits.is_index
        number = np.append(np.uint64(0), np.cumsum(level[1:] != level[:-1], dtype=np.uint64))
        value = (number << bits.rest) | rest[index.view(np.int64)]
        group[here] = (value << bits.index) | index
    group.sort()


def _write_ranks(ranks: DoubledRanks, group: Group, below: int, bits: _Bits) -> None:
    """Write twice the average ranks of a sorted group that has so many keys below it."""
    for here in _pieces(len(group)):
        part = group[here]
        begin = np.searchsorted(group, part[0] & ~bits.is_index)  # ties of the first key may stand before the piece
        end = np.searchsorted(group, part[-1] | bits.is_index, side="right")  # and those of the last key after it
        index = (part & bits.is_index).view(np.int64)
        ranks[index] = 2 * below + _doubled_ranks_of_sorted(part >> bits.index, here.start, int(begin), int(end))


def _doubled_ranks_of_sorted(
    values: UInt64[np.ndarray, " part"], start: int, begin: int, end: int
) -> Int64[np.ndarray, " part"]:
    """Twice the average ranks in a sorted sequence: where ties begin, plus where they end, plus 1.

    Args:
        values: a part of the sequence.
        start: where the part begins.
        begin: where the ties of its first value begin.
        end: where the ties of its last value end.
    """
    changes = start + 1 + np.flatnonzero(values[1:] != values[:-1])
    times = np.diff(changes, prepend=start, append=start + len(values))
    return np.repeat(np.append(begin, changes) + np.append(changes, end) + 1, times)


def _pieces(length: int) -> Iterator[slice]:
    for start in range(0, length, _PIECE):
        yield slice(start, min(start + _PIECE, length))
