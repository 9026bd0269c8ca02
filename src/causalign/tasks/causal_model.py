"""Causal models: the variables of a system, and how one of them is set.

Pairing states takes no more than this. A task also writes what follows from the values of its variables. The variables
of a recorded system are known only where they were recorded.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Int

from causalign.errors import InvalidArgument, unknown
from causalign.tasks.variable import FULL

Values = dict[str, Int[np.ndarray, " trials"]]
"""The value of every causal variable, with one entry a trial."""


class CausalModel:
    """Named variables, each of which can be set to another value."""

    name: str
    variables: tuple[str, ...]
    """The causal variables. The rest of a trial depends on their values only."""
    readings: tuple[str, ...] = ()
    """Other readings of the variables, which `set` can set. They are not part of `full`."""

    @property
    def summary(self) -> str:
        """A one-line description of the task: the first line of the docstring of its class."""
        return (type(self).__doc__ or "").strip().split("\n")[0].replace("`", "")

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name}: {', '.join(self.variables)})"

    def set(self, values: Values, given: Values) -> Values:
        """Return `values` with the variables in `given` set to its values.

        A task with readings overrides this method to set them.

        Raises:
            InvalidArgument: A name in `given` is not a variable.
        """
        for name in given:
            if name not in self.variables:
                raise InvalidArgument(f"{self.name} has the reading {name!r}, but its `set` does not set it")
        return {name: values[name] for name in self.variables} | given

    def meaningful(self, values: Values) -> Bool[np.ndarray, " trials"]:
        """Return whether the task can have these values, after a swap has set one of them."""
        return np.ones(len(values[self.variables[0]]), dtype=bool)

    def keys(self, variable: str) -> tuple[str, ...]:
        """Return the variables that `variable` stands for: all for `full`, otherwise the variable or reading itself.

        Raises:
            InvalidArgument: The task has no such variable or reading.
        """
        if variable == FULL:
            return self.variables
        if variable not in (*self.variables, *self.readings):
            raise unknown(f"variable of {self.name}", variable, (FULL, *self.variables, *self.readings))
        return (variable,)


class VariableTable(CausalModel):
    """Recorded variables without a task. Each can be set to any value, whatever the values of the others."""

    def __init__(self, name: str, variables: Sequence[str]) -> None:
        self.name, self.variables = name, tuple(variables)


def require_settable(source: CausalModel, source_variable: str, target: CausalModel, target_variable: str) -> None:
    """Check that the target's variable can be set to the source's: both are single, or both are the same set.

    Raises:
        InvalidArgument: A task has no such variable, or the two variables do not fit each other.
    """
    target_keys, source_keys = target.keys(target_variable), source.keys(source_variable)
    if not len(target_keys) == len(source_keys) == 1 and set(target_keys) != set(source_keys):
        both = [name for name in source.variables if name in target.variables]
        hint = f"; both have {', '.join(both)}: variable={both[0]!r}" if both else ""
        raise InvalidArgument(
            f"{source_variable!r} of {source.name} ({', '.join(source_keys)}) cannot be set as "
            f"{target_variable!r} of {target.name} ({', '.join(target_keys)}){hint}"
        )


def counterfactual(
    source: CausalModel,
    source_variable: str,
    source_values: Values,
    *,
    target: CausalModel,
    target_variable: str,
    target_values: Values,
) -> Values:
    """Return the target's values with `target_variable` set to the value of `source_variable` in the source.

    Raises:
        InvalidArgument: A task has no such variable, or the two variables do not fit each other.
    """
    require_settable(source, source_variable, target, target_variable)
    target_keys, source_keys = target.keys(target_variable), source.keys(source_variable)
    if len(target_keys) > 1:
        source_keys = target_keys  # both are the same set of names, but their order may differ
    return target.set(target_values, {to: source_values[of] for to, of in zip(target_keys, source_keys, strict=True)})
