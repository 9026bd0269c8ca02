"""A causal variable as it is asked for: its name, and the values that it may take."""

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
    """A variable of a task, restricted to the values from `low` to `high` if these are given."""

    name: str
    low: int | None = None
    high: int | None = None

    def __post_init__(self) -> None:
        if (self.low is None) != (self.high is None):
            raise InvalidArgument(f"the range of a variable has two ends, found {self.low} to {self.high}")
        if self.low is not None and self.high is not None and self.low > self.high:
            raise InvalidArgument(f"the range of a variable goes upwards, found {self.low} to {self.high}")
        if self.low is not None and self.name == FULL:
            raise InvalidArgument(f"only a single variable has a range of values, found one of {FULL!r}")

    @classmethod
    def of(cls, text: Union[str, "Variable"]) -> "Variable":
        """The variable that a text names: `count`, or with a range `cumulative_value[1..10]`, both ends included.

        Raises:
            InvalidArgument: it is no text or has another form, the range is empty, or it is one of `full`.
        """
        if isinstance(text, Variable):
            return text
        form = _FORM.fullmatch(text) if isinstance(text, str) else None
        if form is None:
            raise InvalidArgument(f"a variable is named as 'count' or 'count[1..10]', found {text!r}")
        low, high = form["low"], form["high"]
        return cls(form["name"], None if low is None else int(low), None if high is None else int(high))

    @property
    def restricted(self) -> bool:
        """Whether only some of its values are asked for."""
        return self.low is not None

    def allows(self, values: Int[np.ndarray, " trials"]) -> Bool[np.ndarray, " trials"]:
        """Which of the values are in range."""
        if self.low is None or self.high is None:
            return np.ones(len(values), dtype=bool)
        return (values >= self.low) & (values <= self.high)

    def __str__(self) -> str:
        return self.name if self.low is None else f"{self.name}[{self.low}..{self.high}]"
