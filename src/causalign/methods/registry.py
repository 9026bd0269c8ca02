"""The methods by name, and how one is read from a string or a table."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar

from causalign.counterfactuals.direction import Direction
from causalign.counterfactuals.interventions import Swap
from causalign.errors import InvalidArgument, lookup, unknown
from causalign.methods.base import Method
from causalign.methods.clmas import CLMAS
from causalign.methods.das import DAS
from causalign.methods.dbm import DBM
from causalign.methods.mas import MAS
from causalign.methods.procrustes import Procrustes
from causalign.methods.stitch import LatentStitch, Stitch
from causalign.notebook import summary_html
from causalign.search.objectives import Objective


class MethodTable(dict[str, type[Method]]):
    """Classes of methods by name, which are shown as a table."""

    @property
    def summaries(self) -> dict[str, str]:
        """The class of each method, and the first line of its docstring."""
        return {
            name: f"{kind.__name__}: {(kind.__doc__ or '').strip().splitlines()[0].replace('`', '')}"
            for name, kind in self.items()
        }

    def __repr__(self) -> str:
        return f"METHODS({', '.join(self)})"

    def _repr_html_(self) -> str:
        """The table in a notebook."""
        return summary_html("Methods", self.summaries)


METHODS = MethodTable({kind.name: kind for kind in (MAS, CLMAS, DAS, DBM, Stitch, LatentStitch, Procrustes)})
"""The classes of methods by name."""

SHORTHANDS: dict[str, Mapping[str, Any]] = {
    **{name: {} for name in METHODS},
    "mas-stepwise": {"name": "mas", "stepwise": True},
    "das-stepwise": {"name": "das", "stepwise": True},
    "dbm-pca": {"name": "dbm", "features": "pca"},
}
"""The strings that stand for methods, and the parameters that they stand for."""


def register_method(kind: type[Method]) -> type[Method]:
    """Make a class of methods known by its name, so that configurations and saved results can name it.

    It can be used as a decorator.

    Raises:
        InvalidArgument: It is not a `Method`, or another class has its name.
    """
    if not isinstance(kind, type) or not issubclass(kind, Method):
        raise InvalidArgument(f"a method is a subclass of causalign.Method, found {kind!r}")
    name = getattr(kind, "name", None)
    if not isinstance(name, str) or not name:
        raise InvalidArgument(f"{kind.__name__} has no name: a method is a class with name = '...'")
    require_own_name(kind)
    METHODS[kind.name] = kind
    SHORTHANDS.setdefault(kind.name, {})
    return kind


def require_own_name(kind: type[Method]) -> None:
    """Check that no other class of methods has the name of this one: a saved result would be read as the other's.

    Raises:
        InvalidArgument: Another class has it.
    """
    other = METHODS.get(kind.name)
    if other is not None and (other.__module__, other.__qualname__) != (kind.__module__, kind.__qualname__):
        raise InvalidArgument(
            f"{kind.__name__} is called {kind.name!r}, as {other.__name__} is: give it a name of its own"
        )


@dataclass(frozen=True)
class UnknownMethod(Method):
    """The method of a saved result whose class is not known here: its maps and scores can be read, and no more."""

    saved: tuple[tuple[str, Any], ...] = ()

    name: ClassVar[str] = "unregistered"
    n_sites: ClassVar[int] = 1
    more_sites: ClassVar[bool] = True

    @property
    def label(self) -> str:
        """The name that the result has."""
        return str(dict(self.saved)["name"])

    @property
    def parameters(self) -> dict[str, Any]:
        """The name and the parameters that the result has."""
        return dict(self.saved)

    @property
    def intervention(self) -> Swap:
        """Refuse: it is not known.

        Raises:
            InvalidArgument: Always.
        """
        raise self._unknown

    @property
    def stepwise(self) -> bool:
        """Refuse: it is not known.

        Raises:
            InvalidArgument: Always.
        """
        raise self._unknown

    @property
    def _unknown(self) -> InvalidArgument:
        return InvalidArgument(
            f"the method {self.label!r} is not known here: register its class first, causalign.register_method(...)"
        )

    def objectives(self, n_sites: int) -> dict[Direction, Objective]:  # noqa: ARG002
        """Refuse: they are not known.

        Raises:
            InvalidArgument: Always.
        """
        raise self._unknown


def method_of(given: object, *, saved: bool = False) -> Method:
    """Return the method that a string, a table of parameters or an object stands for.

    Args:
        given: A `Method`; one of `SHORTHANDS`; or `{"name": ..., parameter: value, ...}`.
        saved: Whether an unknown name gives an `UnknownMethod` in place of an error.

    Raises:
        InvalidArgument: The name, or a parameter, is unknown (near matches are named), or a value is wrong.
    """
    if isinstance(given, Method):
        return given
    if isinstance(given, type) and issubclass(given, Method):
        raise InvalidArgument(f"method is the class {given.__name__}: give an instance, {given.__name__}()")
    table = {"name": given} if isinstance(given, str) else given
    if not isinstance(table, Mapping) or "name" not in table:
        raise InvalidArgument(f"method is a name, a table with a name, or an object such as MAS(); found {given!r}")
    if saved and table["name"] not in SHORTHANDS:
        return UnknownMethod(tuple(table.items()))
    shorthand = lookup("method", str(table["name"]), SHORTHANDS)
    parameters = {"name": table["name"], **shorthand} | {key: table[key] for key in table if key != "name"}
    kind = METHODS[parameters.pop("name")]
    known = [field.name for field in fields(kind)]
    for parameter in parameters:
        if parameter not in known:
            raise unknown(f"parameter of {kind.name}", parameter, known)
    return kind(**parameters)
