"""What the user is told when something given cannot work: one line, what was found, what would do."""

from collections.abc import Iterable
from difflib import get_close_matches


class CausalignError(ValueError):
    """Something given to causalign cannot work; the message is one line and is shown as it is."""


def unknown(what: str, found: str, known: Iterable[str]) -> CausalignError:
    """The error for a name that is not known, with its nearest matches (or all names, if none is near)."""
    names = list(known)
    near = get_close_matches(found.lower(), names, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(map(repr, near))}?" if near else f"known: {', '.join(names)}"
    return CausalignError(f"unknown {what} {found!r}; {hint}")
