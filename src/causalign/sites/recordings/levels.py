"""The check that numbers stand for the same entries in two sites."""

from typing import Any

from causalign.errors import InvalidArgument
from causalign.sites.readable import Readable
from causalign.sites.recordings.recording import Recording


def require_same_levels(a: Readable, variable: str, b: Readable, other: str) -> None:
    """Check that each number of a variable stands for the same entry in both sites.

    Columns in `levels` are numbered by their distinct entries, whose numbers mean nothing to another recording or to a
    network.

    Args:
        a: A site.
        variable: Its variable.
        b: Another site.
        other: Its variable.

    Raises:
        InvalidArgument: A variable of one site is numbered by its distinct entries, and the other's is not or has other
            entries.
    """
    first, second = a.task.keys(variable), b.task.keys(other)
    pairs = zip(first, second, strict=True) if len(first) == len(second) == 1 else zip(first, first, strict=True)
    for name, partner in pairs:
        levels, others = _levels(a, name), _levels(b, partner)
        if levels != others:
            raise InvalidArgument(
                f"the numbers of {name!r} stand for {_shown(levels)} in {a.name} and for {_shown(others)} in {b.name}; "
                "give codes, so that a number means the same in both"
            )


def _levels(site: Readable, name: str) -> tuple[Any, ...] | None:
    return site.levels.get(name) if isinstance(site, Recording) else None


def _shown(levels: tuple[Any, ...] | None) -> str:
    return "themselves" if levels is None else ", ".join(map(str, levels[:6])) + (", ..." if len(levels) > 6 else "")
