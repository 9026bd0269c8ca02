"""The notation of rank selections: a number, several, a word, a table or an object."""

from collections.abc import Mapping
from dataclasses import fields
from operator import index
from typing import Any, SupportsIndex

from causalign.errors import InvalidArgument, unknown
from causalign.search.boundary_rank import BoundaryRank
from causalign.search.rank_selection import BestRank, Blocks, FixedRank, RankSelection, SmallestRank, is_count

AUTO, BOUNDARY = "auto", "boundary"
RANKS: tuple[type[BestRank] | type[SmallestRank] | type[BoundaryRank], ...] = (BestRank, SmallestRank, BoundaryRank)
"""The rank selections that have parameters."""


def rank_selection_of(given: object) -> RankSelection:
    """Return the rank selection that a number, several numbers, a word, a table or an object stands for.

    Args:
        given: A whole number; several, or a string of several with commas, for `BestRank`; `"auto"` for `SmallestRank`;
            `"boundary"` for `BoundaryRank`; a table of the parameters of any of these; a rank for each variable, as a
            table or as `"answer=8,carry=4"`, for `Blocks`; or a `RankSelection`.

    Raises:
        InvalidArgument: It is something else.
    """
    if isinstance(given, RankSelection):
        return given
    if isinstance(given, Mapping):
        return _of_table(given)
    if hasattr(given, "tolist"):  # numpy and torch
        given = given.tolist()
    if isinstance(given, str) and given == AUTO:
        return SmallestRank()
    if isinstance(given, str) and given == BOUNDARY:
        return BoundaryRank()
    if isinstance(given, str) and all(part.strip().isdecimal() for part in given.split(",")):
        ranks = [int(part) for part in given.split(",")]
        return BestRank(tuple(ranks)) if len(ranks) > 1 else FixedRank(ranks[0])
    if isinstance(given, str) and "=" in given:
        return Blocks(_named_ranks(given))
    if isinstance(given, list | tuple):
        return BestRank(tuple(given))
    if isinstance(given, SupportsIndex) and not isinstance(given, bool):
        return FixedRank(index(given))
    raise InvalidArgument(
        f"rank is a whole number, several such as [16, 32], one for each variable such as {{'answer': 8}}, {AUTO!r}, "
        f"{BOUNDARY!r}, BestRank(...), SmallestRank(...) or BoundaryRank(...); found {given!r}"
    )


def _named_ranks(text: str) -> dict[str, int]:
    """Return the ranks of `answer=8,carry=4`."""
    ranks: dict[str, int] = {}
    for part in text.split(","):
        name, _, rank = (piece.strip() for piece in part.rpartition("="))
        if not name or not rank.isdecimal() or name in ranks:
            raise InvalidArgument(f"a rank for each variable is written as answer=8,carry=4; found {text!r}")
        ranks[name] = int(rank)
    return ranks


def _of_table(given: Mapping[str, Any]) -> RankSelection:
    if set(given) == {"blocks"} and isinstance(given["blocks"], Mapping):
        return Blocks(given["blocks"])
    for kind in RANKS:
        names = {field.name for field in fields(kind)}
        if given and set(given) <= names and (kind is not BestRank or "candidates" in given):
            return kind(**given)
    if "trial_steps" in given and "candidates" not in given:
        raise InvalidArgument("trial_steps belongs to several ranks, and there is none to choose from: name candidates")
    known = [field.name for kind in RANKS for field in fields(kind)]
    if given and not set(given) & set(known) and any(is_count(rank) for rank in given.values()):
        return Blocks(given)
    raise unknown("parameter of rank", next((name for name in given if name not in known), str(dict(given))), known)
