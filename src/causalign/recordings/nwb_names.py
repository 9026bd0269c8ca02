"""The names of objects in a session: their full paths, of which any last part will do that is the name of one only."""

from collections.abc import Mapping
from typing import Any, TypeVar

from causalign.errors import InvalidArgument, unknown

Thing = TypeVar("Thing")

_GROUPS = {
    "acquisition": "acquisition",
    "processing": "processing",
    "stimulus": "stimulus/presentation",
    "stimulus_template": "stimulus/templates",
    "analysis": "analysis",
    "scratch": "scratch",
    "intervals": "intervals",
}


def full_names(session: Any) -> dict[str, Any]:
    """Return all objects of a session by their full names, such as `processing/behavior/speed`."""
    prefixes = {}
    for attribute, group in _GROUPS.items():
        for child in (getattr(session, attribute, None) or {}).values():
            prefixes[id(child)] = group
    for attribute in ("trials", "epochs", "invalid_times"):
        if (child := getattr(session, attribute, None)) is not None:
            prefixes[id(child)] = "intervals"
    found = {}
    for item in session.objects.values():
        parts, node = [], item
        while node is not None and node is not session:
            parts.append(node.name)
            if id(node) in prefixes:
                parts.append(prefixes[id(node)])
            node = node.parent
        if parts:
            found["/".join(reversed(parts))] = item
    return found


def named(what: str, name: str, known: Mapping[str, Thing]) -> Thing:
    """Return the object with this full name, or the only one whose full name ends with it.

    Raises:
        InvalidArgument: No object or several objects have the name. The message lists their full names.
    """
    if not isinstance(name, str):
        raise InvalidArgument(f"the name of a {what} is a text, found {type(name).__name__}")
    if name in known:
        return known[name]
    fitting = [full for full in known if full.endswith(f"/{name}")]
    if len(fitting) == 1:
        return known[fitting[0]]
    if fitting:
        raise InvalidArgument(
            f"{len(fitting)} objects have the name {name!r} ({what}); take one of {', '.join(sorted(fitting))}"
        )
    raise unknown(what, name, short_names(known))


def short_names(known: Mapping[str, Any]) -> list[str]:
    """Return the last part of each full name where no other has it, and the full name otherwise."""
    last = [full.rpartition("/")[2] for full in known]
    return [name if last.count(name) == 1 else full for name, full in zip(last, known, strict=True)]
