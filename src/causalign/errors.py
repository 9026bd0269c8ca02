"""Errors: one line that names the thing, what was found, and what would do."""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import TypeVar

from pydantic import ValidationError

Entry = TypeVar("Entry")

_MAX_NAMED = 20  # known names that are listed where none is near


class CausalignError(Exception):
    """Something cannot work; the message is one line and is shown as it is."""


class InvalidArgument(CausalignError, ValueError):
    """An argument is unknown, out of range, or does not fit the others."""


class MissingDependency(CausalignError, ImportError):
    """An optional package is not installed."""


class FileFormatError(CausalignError):
    """A file is missing, broken, or of another format, or cannot be written."""


class OutOfMemory(CausalignError, MemoryError):
    """Something does not fit into memory, or onto the disk."""


class SearchWarning(UserWarning):
    """A search did not end as it should, or its score should not be read as one."""


def unknown(what: str, found: str, known: Iterable[str]) -> InvalidArgument:
    """The error for an unknown name, with its nearest matches or, where none is near, the known names."""
    names = list(known)
    near = get_close_matches(str(found).lower(), names, n=3, cutoff=0.5)
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
    """The error for fields that fail their validation; the first of them is named."""
    first = error.errors()[0]
    cause = first.get("ctx", {}).get("error")
    if isinstance(cause, CausalignError):
        return InvalidArgument(str(cause))
    where = ".".join(str(part) for part in first["loc"] if not str(part).startswith(("function-", "constrained-")))
    found = "" if first["type"] == "missing" else f", found {str(first['input'])[:60]!r}"
    return InvalidArgument(f"{what}: {where + ': ' if where else ''}{first['msg']}{found}")
