"""What is known of a system's variables: which there are, and how one of them is set.

That is all that pairing states takes. A task goes on to write what follows from their values; a recorded system's
variables are only known where they were noted down.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Int

from causalign.errors import InvalidArgument, unknown
from causalign.tasks.variable import FULL

Values = dict[str, Int[np.ndarray, " trials"]]
"""The value of every causal variable, one entry a trial."""


class CausalModel:
    """Named variables, each of which can be set to another value."""

    name: str
    variables: tuple[str, ...]
    """The causal variables: together all that the continuation of a trial depends on."""
    readings: tuple[str, ...] = ()
    """Other readings of the variables, which `set` knows how to set; no part of `full`."""

    @property
    def summary(self) -> str:
        """What the task asks for, in a line."""
        return (type(self).__doc__ or "").strip().split("\n")[0].replace("`", "")

    def set(self, values: Values, given: Values) -> Values:
        """`values` with some variables set to what is `given`; a task with readings knows how to set those.

        Raises:
            InvalidArgument: something is given that is no variable.
        """
        for name in given:
            if name not in self.variables:
                raise InvalidArgument(f"{self.name} reads {name!r}, but its `set` does not say how it is set")
        return {name: values[name] for name in self.variables} | given

    def meaningful(self, values: Values) -> Bool[np.ndarray, " trials"]:
        """Whether `values`, after one of them was set from outside, are a state that the task can be in."""
        return np.ones(len(values[self.variables[0]]), dtype=bool)

    def keys(self, variable: str) -> tuple[str, ...]:
        """The variables (or the one reading) that `variable` stands for: itself, or all variables for `full`.

        Raises:
            InvalidArgument: the task has no such variable.
        """
        if variable == FULL:
            return self.variables
        if variable not in (*self.variables, *self.readings):
            raise unknown(f"variable of {self.name}", variable, (FULL, *self.variables, *self.readings))
        return (variable,)


class VariableTable(CausalModel):
    """Variables that were only noted down: set to another value, they are that value, whatever the others are."""

    def __init__(self, name: str, variables: Sequence[str]) -> None:
        self.name, self.variables = name, tuple(variables)


def require_settable(source: CausalModel, source_variable: str, target: CausalModel, target_variable: str) -> None:
    """Check that one variable can take the other's value: both are single ones, or both are the same set.

    Raises:
        InvalidArgument: a task has no such variable, or they do not fit each other.
    """
    written, given = target.keys(target_variable), source.keys(source_variable)
    if not len(written) == len(given) == 1 and set(written) != set(given):
        raise InvalidArgument(
            f"{source_variable!r} of {source.name} ({', '.join(given)}) cannot be set as "
            f"{target_variable!r} of {target.name} ({', '.join(written)})"
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
    """The target's values with `target_variable` set to what `source_variable` is worth in the source.

    Raises:
        InvalidArgument: the two variables do not fit each other.
    """
    require_settable(source, source_variable, target, target_variable)
    written, given = target.keys(target_variable), source.keys(source_variable)
    if len(written) > 1:
        given = written  # the same names, whatever their order
    return target.set(target_values, {to: source_values[of] for to, of in zip(written, given, strict=True)})
