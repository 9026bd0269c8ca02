"""What the user is told when something given cannot work: one line, what was found, what would do."""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import TypeVar

from pydantic import ValidationError

Entry = TypeVar("Entry")


_MOST_NAMED = 20  # of what there is, where nothing is near what was asked for


class CausalignError(ValueError):
    """Something given to causalign cannot work; the message is one line and is shown as it is."""


class SearchWarning(UserWarning):
    """A search did not end as it should; what it returns is its best until then."""


def unknown(what: str, found: str, known: Iterable[str]) -> CausalignError:
    """The error for a name that is not known, with its nearest matches (or what there is, if none is near)."""
    names = list(known)
    near = get_close_matches(found.lower(), names, n=3, cutoff=0.5)
    known_ones = ", ".join(names[:_MOST_NAMED]) + (", ..." if len(names) > _MOST_NAMED else "")
    hint = f"did you mean {' or '.join(map(repr, near))}?" if near else f"known: {known_ones}"
    return CausalignError(f"unknown {what} {found!r}; {hint}")


def lookup(what: str, name: str, table: Mapping[str, Entry]) -> Entry:
    """The entry of that name in a table of what there is.

    Raises:
        CausalignError: there is none.
    """
    if name not in table:
        raise unknown(what, name, table)
    return table[name]


def invalid(what: str, error: ValidationError) -> CausalignError:
    """The error for a file or table whose entries are not what they should be: the first of them is named."""
    first = error.errors()[0]
    where = ".".join(map(str, first["loc"]))
    return CausalignError(f"{what}: {where + ': ' if where else ''}{first['msg']}")
