"""The counting tasks: a quantity of demo tokens, and the responses that it asks for. `B D0 D2 T R R E`."""

from abc import abstractmethod
from collections.abc import Iterable
from typing import ClassVar

import numpy as np
from jaxtyping import Bool, Int
from typing_extensions import override

from causalign.errors import InvalidArgument
from causalign.tasks.base import Sequences, Task
from causalign.tasks.causal_model import Values
from causalign.tasks.vocabulary import Vocabulary

DEMO, RESPONSE = 0, 1
VOID = "V"
_VOID_SHARE = 0.2  # of the demo phase's tokens, so that positions do not reveal the quantity (section 2.1)


class Counting(Task):
    """B, a quantity of 1 to 20 demo tokens, the trigger T, the responses that these ask for, and E (section 2.1).

    `phase` is 0 in the demo phase, which ends after T, and 1 in the response phase. `count` is the number of demo
    tokens so far in the demo phase, and the number of responses still to come in the response phase. `raw_count` is the
    other reading of A.7: the number of demo tokens minus the number of responses, in both phases. It equals `count`
    where every demo token asks for one response.

    The quantity is uniform: after c demo tokens T follows with probability 1 / (21 - c), one over the number of
    quantities that are still possible. From any count on, the number of further demo tokens is uniform too (A.2). T is
    drawn at random, and so is the end of the demo phase: neither is ever determined.

    Args:
        void: The share of the demo phase's tokens that are V, which is not counted.
        quantities: The quantities that occur. T follows only one of these. By default 1 to 20.

    Raises:
        InvalidArgument: `void` is not a share below 1, or a quantity is not from 1 to 20.
    """

    variables = ("phase", "count")
    readings = ("raw_count",)
    demos: ClassVar[tuple[str, ...]] = ("D0", "D1", "D2")
    response: ClassVar[str] = "R"
    largest: ClassVar[int] = 20

    def __init__(self, void: float = 0.0, quantities: Iterable[int] | None = None) -> None:
        if not 0 <= void < 1:
            raise InvalidArgument(f"void must be a share from 0 to below 1, found {void}")
        self.void = void
        self.quantities = tuple(range(1, self.largest + 1) if quantities is None else sorted(set(quantities)))
        if not self.quantities or not 1 <= self.quantities[0] <= self.quantities[-1] <= self.largest:
            raise InvalidArgument(f"quantities must be from 1 to {self.largest}, found {self.quantities or 'none'}")
        self.filler = self.response
        names = dict.fromkeys(("B", "E", *self.demos, self.response, "T", *([VOID] if void else [])))
        self.vocabulary = Vocabulary.of(" ".join(names))
        self._demos = self.vocabulary.encode(self.demos)
        self._trigger, self._response, self._end = self.vocabulary.encode(("T", self.response, "E"))
        self._most = self.quantities[-1]
        self._most_responses = int(self.responses(np.array(self.quantities)).max())
        counts = np.arange(self._most + 1)
        self._may_end = np.isin(counts, self.quantities)
        self._ends = len(self.quantities) - np.searchsorted(self.quantities, counts)

    def only(self, quantities: Iterable[int]) -> "Counting":
        """Return the same task with these quantities only."""
        return type(self)(self.void, quantities)

    @property
    @override
    def summary(self) -> str:
        if len(self.quantities) == self.largest:
            return super().summary
        return f"{super().summary} Counts: {', '.join(map(str, self.quantities))}."

    @abstractmethod
    def responses(self, quantity: Int[np.ndarray, " trials"]) -> Int[np.ndarray, " trials"]:
        """Return the number of responses that a quantity of demo tokens asks for."""

    @override
    def start(self, trials: int) -> Values:
        """Return the values after B: the demo phase, with a count of 0."""
        return {"phase": np.full(trials, DEMO), "count": np.zeros(trials, dtype=np.int64)}

    @override
    def write(
        self, values: Values, rng: np.random.Generator
    ) -> tuple[Int[np.ndarray, " trials"], Bool[np.ndarray, " trials"]]:
        """Return a demo token, a void or T in the demo phase; then the responses, then E."""
        count, demo = values["count"], values["phase"] == DEMO
        shown_now = np.minimum(count, self._most)
        triggers = self._may_end[shown_now] & (rng.random(len(count)) * self._ends[shown_now] < 1)
        shown = np.where(triggers, self._trigger, rng.choice(self._demos, len(count)))
        if self.void:
            shown = np.where(rng.random(len(count)) < self.void, self.vocabulary.id(VOID), shown)
        answered = np.where(count > 0, self._response, self._end)
        return np.where(demo, shown, answered), ~demo

    @override
    def read(self, values: Values, tokens: Int[np.ndarray, " trials"]) -> Values:
        """Return the values with demo tokens counted up and responses down.

        T begins the response phase with the number of responses that are due.
        """
        demo, trigger = values["phase"] == DEMO, tokens == self._trigger
        shown = (demo & np.isin(tokens, self._demos)).astype(np.int64)
        count = values["count"] + shown - (~demo & (tokens == self._response))
        return {
            "phase": np.where(trigger, RESPONSE, values["phase"]),
            "count": np.where(demo & trigger, self.responses(count), count),
        }

    @override
    def read_back(self, tokens: Int[np.ndarray, "trials time"]) -> dict[str, Int[np.ndarray, "trials time"]]:
        """Return `raw_count`, and `said`, the number of responses so far, after every token."""
        responding = np.cumsum(tokens == self._trigger, axis=1) > 0
        shown = np.cumsum(np.isin(tokens, self._demos) & ~responding, axis=1)
        responded = np.cumsum((tokens == self._response) & responding, axis=1)
        return {"raw_count": shown - responded, "said": responded}

    @override
    def set(self, values: Values, given: Values) -> Values:
        """Return `values` with the variables in `given` set to its values.

        In the response phase, a raw count stands for the quantity that is the raw count plus the responses so far.
        """
        if "raw_count" not in given:
            return super().set(values, given)
        quantity = given["raw_count"] + values["said"]
        due = np.where((quantity >= 1) & (quantity <= self._most), self.responses(quantity) - values["said"], -1)
        return super().set(values, {"count": np.where(values["phase"] == RESPONSE, due, given["raw_count"])})

    @override
    def meaningful(self, values: Values) -> Bool[np.ndarray, " trials"]:
        """Return whether the phase exists and the task can have the count in it."""
        phase, count = values["phase"], values["count"]
        most = np.where(phase == DEMO, self._most, self._most_responses)
        return np.isin(phase, (DEMO, RESPONSE)) & (count >= 0) & (count <= most)

    @override
    def strata(self, trials: Sequences) -> Int[np.ndarray, " trials"]:
        """Return the quantity."""
        return trials.values["raw_count"].max(axis=1)

    @override
    def without_positions(self) -> "Counting":
        return type(self)(void=_VOID_SHARE)


class MultiObject(Counting):
    """B, 1 to 20 demo tokens (each D0, D1 or D2), T, the same number of responses R, and E. `B D0 D2 T R R E`."""

    name = "multi-object"
    swap_at = ("D0", "D1", "D2", "R")

    @override
    def responses(self, quantity: Int[np.ndarray, " trials"]) -> Int[np.ndarray, " trials"]:
        return quantity


class SameObject(Counting):
    """Multi-Object with one token C for all demo tokens and responses. `B C C T C C E`."""

    name = "same-object"
    swap_at = ("C",)
    demos = ("C",)
    response = "C"

    @override
    def responses(self, quantity: Int[np.ndarray, " trials"]) -> Int[np.ndarray, " trials"]:
        return quantity


class Modulo(Counting):
    """B, 1 to 20 demo tokens, T, their number modulo 4 as responses, and E. `B D0 D1 D1 D2 D0 T R E`."""

    name = "modulo"
    swap_at = ("D0", "D1", "D2", "R")

    @override
    def responses(self, quantity: Int[np.ndarray, " trials"]) -> Int[np.ndarray, " trials"]:
        """Return the quantity modulo 4."""
        return quantity % 4


class Rounding(Counting):
    """B, 1 to 20 demo tokens, T, their number rounded to a multiple of 3 as responses, and E. `B D0 D1 T R R R E`."""

    name = "rounding"
    swap_at = ("D0", "D1", "D2", "R")

    @override
    def responses(self, quantity: Int[np.ndarray, " trials"]) -> Int[np.ndarray, " trials"]:
        """Return the multiple of 3 that is nearest to the quantity."""
        return 3 * ((quantity + 1) // 3)
