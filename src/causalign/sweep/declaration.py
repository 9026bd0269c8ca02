"""The declaration of a sweep, by which a folder knows whose points it has."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from causalign.errors import FileFormatError, InvalidArgument
from causalign.files import write_text
from causalign.sweep.folder import DECLARATION, SweepFolder
from causalign.sweep.grid import Coordinate
from causalign.version import __version__

_SHOWN = 60  # characters of a value in an error message


@dataclass(frozen=True)
class Declaration:
    """The declaration of a sweep.

    Attributes:
        base: What all points share, as JSON has it.
        axes: The values of each axis.
        points: The coordinates of each point by key.
    """

    base: Mapping[str, Any]
    axes: Mapping[str, Any]
    points: Mapping[str, Mapping[str, Coordinate]]


def read_declaration(folder: SweepFolder) -> Declaration:
    """Return the declaration of the sweep in a folder.

    Raises:
        FileFormatError: There is none, or it is broken.
    """
    path = folder.path / DECLARATION
    try:
        read = json.loads(path.read_bytes())
        return Declaration(read["base"], read["axes"], read["points"])
    except OSError as error:
        raise FileFormatError(f"{folder.path}: not the folder of a sweep ({DECLARATION}: {error.strerror})") from None
    except (ValueError, KeyError, TypeError) as error:
        raise FileFormatError(f"{path}: not the declaration of a sweep ({error})") from None


def declare(folder: SweepFolder, declaration: Declaration) -> None:
    """Write the declaration of a sweep into its folder, unless the folder has another's.

    Raises:
        InvalidArgument: The folder has another sweep. The message says in what they differ.
        FileFormatError: The folder cannot be written, or its declaration is broken.
    """
    new = json.loads(json.dumps({"base": declaration.base, "axes": declaration.axes}))
    path = folder.path / DECLARATION
    if path.exists():
        old = read_declaration(folder)
        for part, before, now in (("base", old.base, new["base"]), ("grid", old.axes, new["axes"])):
            for name in [*now, *(name for name in before if name not in now)]:
                if before.get(name) != now.get(name):
                    what, was, is_now = _difference(name, before.get(name), now.get(name))
                    raise InvalidArgument(
                        f"{folder.path} has another sweep: {what} of its {part} is {_short(was)}, not "
                        f"{_short(is_now)}; name another folder (out=, --out)"
                    )
    whole = {"causalign": __version__, **new, "points": declaration.points}
    write_text(path, json.dumps(whole, indent=1) + "\n")


def _difference(name: str, before: Any, now: Any) -> tuple[str, Any, Any]:
    """Return the innermost entry in which two values differ, by its path, with what it was and is."""
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        for key in [*now, *(key for key in before if key not in now)]:
            if before.get(key) != now.get(key):
                return _difference(f"{name}.{key}", before.get(key), now.get(key))
    return name, before, now


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."
