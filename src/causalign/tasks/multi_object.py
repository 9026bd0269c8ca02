"""Multi-Object: as many responses as there were objects. `B D0 D2 T R R E`."""

from typing import ClassVar

import numpy as np
from jaxtyping import Bool, Int
from typing_extensions import override

from causalign.tasks._base import Sequences, Task, Values
from causalign.tasks._vocabulary import Vocabulary

DEMO, RESPONSE = 0, 1


class MultiObject(Task):
    """B, 1 to 20 demo tokens (each D0, D1 or D2), the trigger T, as many responses R, and E (section 2.1).

    `phase` is 0 in the demo phase, which ends when T has been read, and 1 in the response phase. `count` is the
    number of demo tokens less the number of responses. The quantity is uniform: after c demo tokens T follows with
    probability 1 / (21 - c), so that from any count on, the number of further demo tokens is uniform too (A.2).
    T, and where the demo phase ends, are the environment's: they are never determined.
    """

    name = "multi-object"
    variables = ("phase", "count")
    swap_at = ("D0", "D1", "D2", "R")
    demos: ClassVar[tuple[str, ...]] = ("D0", "D1", "D2")
    largest: ClassVar[int] = 20

    def __init__(self) -> None:
        self.vocabulary = Vocabulary.of("B E D0 D1 D2 R T")
        self._demos = self.vocabulary.encode(self.demos)
        self._trigger, self._response, self._end = self.vocabulary.encode("T R E")

    @override
    def start(self, trials: int) -> Values:
        """The demo phase, nothing counted."""
        return {"phase": np.full(trials, DEMO), "count": np.zeros(trials, dtype=np.int64)}

    @override
    def write(
        self, values: Values, rng: np.random.Generator
    ) -> tuple[Int[np.ndarray, " trials"], Bool[np.ndarray, " trials"]]:
        """A demo token or T while in the demo phase; then a response for each object, then E."""
        count, demo = values["count"], values["phase"] == DEMO
        triggers = (count > 0) & (rng.random(len(count)) * (self.largest + 1 - count) < 1)
        shown = np.where(triggers, self._trigger, rng.choice(self._demos, len(count)))
        answered = np.where(count > 0, self._response, self._end)
        return np.where(demo, shown, answered), ~demo

    @override
    def read(self, values: Values, tokens: Int[np.ndarray, " trials"]) -> Values:
        """Count demo tokens up and responses down; T begins the response phase."""
        step = np.isin(tokens, self._demos).astype(np.int64) - (tokens == self._response)
        phase = np.where(tokens == self._trigger, RESPONSE, values["phase"])
        return {"phase": phase, "count": values["count"] + step}

    @override
    def meaningful(self, values: Values) -> Bool[np.ndarray, " trials"]:
        """Either phase, with a count that the task can be at."""
        count = values["count"]
        return np.isin(values["phase"], (DEMO, RESPONSE)) & (count >= 0) & (count <= self.largest)

    @override
    def strata(self, trials: Sequences) -> Int[np.ndarray, " trials"]:
        """The object quantity."""
        return trials.values["count"].max(axis=1)
