"""The holdout: values of the variable that training, validation and test rows lack, scored by themselves."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Int

from causalign.counterfactuals.class_means import ClassMeans
from causalign.counterfactuals.inputs import key_of
from causalign.counterfactuals.variables import Variables
from causalign.engine.activation_cache import Activations
from causalign.errors import InvalidArgument
from causalign.random_streams import numpy_stream
from causalign.sites.base import require_site
from causalign.sites.readable import Readable

HOLDOUT = "holdout"
"""The name of the split of the rows whose value is held out."""
_TRIALS = 1024  # trials of a task in which a held-out value must occur


@dataclass(frozen=True)
class Holdout:
    """Held-out values of a variable of tasks.

    Attributes:
        values: The values.
        names: The name of the variable at each site.
    """

    values: tuple[int, ...]
    names: tuple[str, ...]

    @classmethod
    def checked(cls, given: Any, variables: Variables, sites: Sequence[Readable]) -> "Holdout | None":
        """Return the held-out values, checked for the tasks of the sites; `None` if there are none.

        Args:
            given: The values, or a mapping of the name of a variable to its values.
            variables: The variables that are swapped.
            sites: The sites.

        Raises:
            InvalidArgument: They are not whole numbers, several variables are swapped, no single variable is named, the
                task has no state with a value, or none without.
        """
        name, values = _named(given)
        if not values:
            return None
        if len(variables) > 1:
            raise InvalidArgument(
                f"holdout_values are of one variable, and {', '.join(variables.names)} are swapped: take one"
            )
        names = []
        for site, variable in zip(sites, variables.at_sites[0], strict=True):
            run = require_site(site, "holdout_values are drawn from the tasks of networks")
            names.append(_only(run.task.keys(variable.name), name, str(variable)))
            trials = run.task.trials(_TRIALS, numpy_stream(0, HOLDOUT))
            found = trials.values[names[-1]][run.swappable(trials)]
            there = [value for value in np.unique(found).tolist() if variable.allows(np.array([value]))[0]]
            _require_there(values, there, f"{variable} of {site.name}")
        return cls(values, tuple(names))

    def among(
        self, site: int, activations: Activations, split: str, source: bool
    ) -> Bool[np.ndarray, " samples"] | None:
        """Return which samples of a site may be a source, or a target, in the rows of a split; `None` for all of them.

        The value of a source is that after the swap. In the rows of the holdout it is held out, whatever the target's.
        In all others neither end has a value that is.

        Raises:
            InvalidArgument: No sample may.
        """
        if split == HOLDOUT and not source:
            return None
        held = np.isin(activations.values[self.names[site]], self.values)
        allowed = held if split == HOLDOUT else ~held
        if not allowed.any():
            raise InvalidArgument(f"holdout_values leave no rows of the split {split}: no state has another value")
        return allowed

    def without(self, site: int, keys: Sequence[str], means: ClassMeans) -> ClassMeans:
        """Return the means of the classes whose value is not held out."""
        at = keys.index(self.names[site])
        kept = [index for index, each in enumerate(means.classes) if _entry(each, at) not in self.values]
        return ClassMeans([means.classes[index] for index in kept], means.means[kept])

    @property
    def note(self) -> str:
        """What was held out, in one sentence."""
        names = " and ".join(dict.fromkeys(self.names))
        return (
            f"The values {', '.join(map(str, self.values))} of {names} were held out of training, validation and test "
            "rows; the holdout scores them."
        )


def held_classes(given: Any, values: bool, class_names: Sequence[Hashable]) -> Int[np.ndarray, " held"]:
    """Return the indices of the classes of rows of your own whose values are held out.

    Args:
        given: The held-out values.
        values: Whether the rows have values, rather than labels only.
        class_names: The value of each class.

    Raises:
        InvalidArgument: The rows have no values, no row has one that is held out, or every row has.
    """
    held = [] if given is None else [key_of(each) for each in _sequence(given)]
    if not held:
        return np.zeros(0, dtype=np.int64)
    if not values:
        raise InvalidArgument(
            "holdout_values need the value of the variable in each row: give value (values of arrays)"
        )
    _require_there(held, list(class_names), "the rows")
    return np.array([list(class_names).index(each) for each in held], dtype=np.int64)


def _named(given: Any) -> tuple[str | None, tuple[int, ...]]:
    """Return the name of the variable, if there is one, and the values."""
    name = None
    if isinstance(given, Mapping):
        if len(given) != 1:
            raise InvalidArgument(f"holdout_values name one variable and its values, found {dict(given)!r}")
        ((name, given),) = given.items()
    values = () if given is None else _sequence(given)
    if not all(isinstance(each, int | np.integer) and not isinstance(each, bool) for each in values):
        raise InvalidArgument(f"holdout_values of a task are whole numbers, found {list(values)!r}")
    return name, tuple(dict.fromkeys(int(each) for each in values))


def _sequence(given: Any) -> Sequence[Any]:
    if isinstance(given, str | Mapping) or not hasattr(given, "__iter__"):
        raise InvalidArgument(f"holdout_values are several values, such as [4, 9]; found {given!r}")
    return list(given)


def _only(keys: tuple[str, ...], name: str | None, variable: str) -> str:
    """Return the one variable whose values are held out, among those that are swapped."""
    if name is not None and name not in keys:
        raise InvalidArgument(f"holdout_values are of {name!r}, which is not swapped: {variable} is {', '.join(keys)}")
    if name is None and len(keys) > 1:
        raise InvalidArgument(
            f"{variable} stands for {', '.join(keys)}: name the one whose values are held out, "
            f"holdout_values={{{keys[-1]!r}: [...]}}"
        )
    return name or keys[0]


def _require_there(values: Sequence[Hashable], there: Sequence[Hashable], where: str) -> None:
    """Check that every held-out value is there, and that another one is.

    Raises:
        InvalidArgument: One is not, or none is left.
    """
    for value in values:
        if value not in there:
            shown = ", ".join(map(str, there[:30]))
            raise InvalidArgument(f"holdout_values has {value!r}, which {where} never has; there are {shown}")
    if not set(there) - set(values):
        raise InvalidArgument(f"holdout_values leave no value for training rows: {where} has no other")


def _entry(of: Any, at: int) -> Any:
    return of[at] if isinstance(of, tuple) else of


def holdout_note(values: Sequence[Hashable], rows: int) -> str:
    """Return what was held out of rows of your own, in one sentence."""
    return f"{rows:,} rows with the values {', '.join(map(str, values))} were held out of every split."
