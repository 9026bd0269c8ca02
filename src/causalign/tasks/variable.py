"""A causal variable: its name, and the range of its values."""

import re
from dataclasses import dataclass
from typing import Union

import numpy as np
from jaxtyping import Bool, Int

from causalign.errors import InvalidArgument

FULL = "full"
_FORM = re.compile(r"(?P<name>[^\[\]]+)(?:\[(?P<low>-?\d+)\.\.(?P<high>-?\d+)\])?")


@dataclass(frozen=True)
class Variable:
    """A variable of a task, which may be restricted to a range of values.

    Attributes:
        name: The name of the variable.
        low: The smallest value of the range. `None` without a range.
        high: The largest value of the range. `None` without a range.

    Raises:
        InvalidArgument: The range has only one end or is empty, or the variable is `full`.
    """

    name: str
    low: int | None = None
    high: int | None = None

    def __post_init__(self) -> None:
        if (self.low is None) != (self.high is None):
            raise InvalidArgument(f"the range of a variable must have two ends, found {self.low} to {self.high}")
        if self.low is not None and self.high is not None and self.low > self.high:
            raise InvalidArgument(f"the range of a variable must go from low to high, found {self.low} to {self.high}")
        if self.low is not None and self.name == FULL:
            raise InvalidArgument(f"only a single variable can have a range of values, found one of {FULL!r}")

    @classmethod
    def of(cls, text: Union[str, "Variable"]) -> "Variable":
        """Return the variable that a text names.

        Args:
            text: A name such as `count`, or a name with a range such as `cumulative_value[1..10]`, which includes both
                ends. A `Variable` is returned as it is.

        Raises:
            InvalidArgument: The argument is not a text of this form, the range is empty, or `full` has a range.
        """
        if isinstance(text, Variable):
            return text
        form = _FORM.fullmatch(text) if isinstance(text, str) else None
        if form is None:
            raise InvalidArgument(f"a variable must be written as 'count' or 'count[1..10]', found {text!r}")
        low, high = form["low"], form["high"]
        return cls(form["name"], None if low is None else int(low), None if high is None else int(high))

    @property
    def restricted(self) -> bool:
        """Whether the variable has a range."""
        return self.low is not None

    def allows(self, values: Int[np.ndarray, " trials"]) -> Bool[np.ndarray, " trials"]:
        """Return whether each value is in the range."""
        if self.low is None or self.high is None:
            return np.ones(len(values), dtype=bool)
        return (values >= self.low) & (values <= self.high)

    def __str__(self) -> str:
        return self.name if self.low is None else f"{self.name}[{self.low}..{self.high}]"
