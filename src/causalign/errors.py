"""Errors. Each message is one line that names the subject, the value found, and what would be valid."""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import TypeVar

from pydantic import ValidationError

Entry = TypeVar("Entry")

_MAX_NAMED = 20  # known names that are listed if none is near


class CausalignError(Exception):
    """The base class of all errors. The message is one line, and is shown to the user as it is."""


class InvalidArgument(CausalignError, ValueError):
    """An argument is unknown, out of range, or does not fit the others."""


class MissingDependency(CausalignError, ImportError):
    """An optional package is not installed."""


class FileFormatError(CausalignError):
    """A file is missing, broken, of another format, or cannot be written."""


class OutOfMemory(CausalignError, MemoryError):
    """Data do not fit into memory or onto the disk."""


class SearchWarning(UserWarning):
    """A search did not end as intended, or its score should not be read as that of an alignment."""


class DataWarning(UserWarning):
    """Something about a user's data was assumed that may not be meant."""


def unknown(what: str, found: str, known: Iterable[str]) -> InvalidArgument:
    """Return the error for an unknown name. It lists the nearest names or, if none is near, the known names."""
    names = list(known)
    by_lower = {name.lower(): name for name in reversed(names)}
    near = [by_lower[name] for name in get_close_matches(str(found).lower(), list(by_lower)[::-1], n=3, cutoff=0.5)]
    known_ones = ", ".join(names[:_MAX_NAMED]) + (", ..." if len(names) > _MAX_NAMED else "")
    hint = f"did you mean {' or '.join(map(repr, near))}?" if near else f"known: {known_ones or 'none'}"
    return InvalidArgument(f"unknown {what} {found!r}; {hint}")


def lookup(what: str, name: str, table: Mapping[str, Entry]) -> Entry:
    """Return the entry of a table by its name.

    Raises:
        InvalidArgument: The table has no such entry.
    """
    if name not in table:
        raise unknown(what, name, table)
    return table[name]


def invalid(what: str, error: ValidationError) -> InvalidArgument:
    """Return the error for fields that fail their validation. It names the first of them."""
    first = error.errors()[0]
    cause = first.get("ctx", {}).get("error")
    if isinstance(cause, CausalignError):
        return InvalidArgument(str(cause))
    where = ".".join(str(part) for part in first["loc"] if not str(part).startswith(("function-", "constrained-")))
    found = "" if first["type"] == "missing" else f", found {str(first['input'])[:60]!r}"
    return InvalidArgument(f"{what}: {where + ': ' if where else ''}{first['msg']}{found}")
