"""The arithmetic task: additions and subtractions within 0 to 20. `B 3 4 + 3 = 7 , + 11 = 18 , - 5 = 13 E`."""

from typing import ClassVar

import numpy as np
from jaxtyping import Bool, Int
from typing_extensions import override

from causalign.tasks.base import Sequences, Task
from causalign.tasks.causal_model import Values
from causalign.tasks.vocabulary import Vocabulary

# The values of `slot`: the kind of the next token.
OPERATIONS, START, OPERATOR, OPERAND, EQUALS, RESULT, COMMA = range(7)


class Arithmetic(Task):
    """B, the number of operations (1 to 10), a start value (0 to 20), and the operations with their results (A.6).

    All values stay within 0 to 20: the operator is "+" at 0 and "-" at 20, and an operand is any number that keeps the
    result in range. A comma follows a result while operations remain, and E follows the last result. "=", results,
    commas and E are determined. All other tokens are drawn at random.

    `remaining_ops` is the number of operations that are not finished; every comma lowers it by one. `cumulative_value`
    is the start value, then the last result. `slot`, `operator` and `operand` are the position within an operation.
    They always have the same values after a comma, where states are swapped.
    """

    name = "arithmetic"
    variables = ("slot", "remaining_ops", "cumulative_value", "operator", "operand")
    swap_at = (",",)
    largest: ClassVar[int] = 20
    most_operations: ClassVar[int] = 10

    def __init__(self) -> None:
        numbers = map(str, range(self.largest + 1))
        self.vocabulary = Vocabulary.of(" ".join(("B", "E", "+", "-", "=", ",", *numbers)))
        self._end, self._plus, self._minus, self._equals, self._comma, self._zero = self.vocabulary.encode(
            "E + - = , 0"
        )

    @override
    def start(self, trials: int) -> Values:
        """Return the values after B. The number of operations is next."""
        return {name: np.zeros(trials, dtype=np.int64) for name in self.variables}

    @override
    def write(
        self, values: Values, rng: np.random.Generator
    ) -> tuple[Int[np.ndarray, " trials"], Bool[np.ndarray, " trials"]]:
        """Return the token of the slot, and whether it is determined."""
        slot, value, draw = values["slot"], values["cumulative_value"], rng.random(len(values["slot"]))
        adds = np.where(value == 0, True, np.where(value == self.largest, False, draw < 0.5))
        room = np.where(values["operator"] > 0, self.largest - value, value)
        operations = 1 + (draw * self.most_operations).astype(np.int64)
        number_of = {OPERATIONS: operations, START: draw * (self.largest + 1), OPERAND: draw * (room + 1)}
        result = value + values["operator"] * values["operand"]
        written = {
            **{of: self._zero + number.astype(np.int64) for of, number in number_of.items()},
            OPERATOR: np.where(adds, self._plus, self._minus),
            EQUALS: np.full_like(slot, self._equals),
            RESULT: self._zero + result,
            COMMA: np.where(values["remaining_ops"] > 1, self._comma, self._end),
        }
        return np.choose(slot, [written[of] for of in range(len(written))]), slot >= EQUALS

    @override
    def read(self, values: Values, tokens: Int[np.ndarray, " trials"]) -> Values:
        """Return the values with the slot filled and moved on. A comma ends one operation and begins another."""
        slot, number = values["slot"], tokens - self._zero
        comma = (slot == COMMA) & (tokens == self._comma)
        operator = np.where(slot == OPERATOR, np.where(tokens == self._plus, 1, -1), values["operator"])
        operand = np.where(slot == OPERAND, number, values["operand"])
        begins = np.isin(slot, (START, RESULT))
        return {
            "slot": np.where(slot == COMMA, np.where(comma, OPERATOR, COMMA), slot + 1),
            "remaining_ops": np.where(slot == OPERATIONS, number, values["remaining_ops"]) - comma,
            "cumulative_value": np.where(begins, number, values["cumulative_value"]),
            "operator": np.where(comma, 0, operator),
            "operand": np.where(comma, 0, operand),
        }

    @override
    def meaningful(self, values: Values) -> Bool[np.ndarray, " trials"]:
        """Return whether 1 to 10 operations remain and the value is within 0 to 20."""
        remaining, value = values["remaining_ops"], values["cumulative_value"]
        operations = (remaining >= 1) & (remaining <= self.most_operations)
        return operations & (value >= 0) & (value <= self.largest)

    @override
    def strata(self, trials: Sequences) -> Int[np.ndarray, " trials"]:
        """Return the number of operations."""
        return trials.values["remaining_ops"].max(axis=1)
