"""What a task is: a causal model that writes token sequences.

A task keeps the values of its causal variables and knows three things: what they are before anything has
happened (`start`), which token may come next (`write`), and how a token changes them (`read`). What is yet to
come depends on nothing but these values, so that the same three say what a trial is, what every variable is
worth after every token, and, once a variable has been set to another value, what the counterfactual is.
All of them work on arrays with one entry a trial.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Bool, Int
from typing_extensions import override

from causalign.errors import InvalidArgument
from causalign.tasks.causal_model import CausalModel, Values
from causalign.tasks.trials import Trials
from causalign.tasks.vocabulary import Vocabulary

BEGIN, END = "B", "E"
_LONGEST = 10_000  # tokens; a task that writes on beyond this never ends


@dataclass(frozen=True, eq=False)
class Sequences(Trials):
    """Token sequences written by a task, padded at the end with the pad's id 0."""

    tokens: Int[np.ndarray, "trials time"]
    determined: Bool[np.ndarray, "trials time"]
    """Whether a token follows from the tokens before it; the others are drawn at random."""
    values: dict[str, Int[np.ndarray, "trials time"]]
    """The value of every variable once the token has been read; at pads, the last one."""

    @property
    @override
    def lengths(self) -> Int[np.ndarray, " trials"]:
        """The number of tokens of each trial, pads left out."""
        return np.count_nonzero(self.tokens, axis=1)

    @override
    def __len__(self) -> int:
        return len(self.tokens)

    def __repr__(self) -> str:
        return f"Sequences({len(self)} trials of up to {self.tokens.shape[1]} tokens, {', '.join(self.values)})"

    def padded(self, time: int) -> "Sequences":
        """The same with pads up to `time` tokens."""
        beyond = ((0, 0), (0, time - self.tokens.shape[1]))
        values = {name: np.pad(value, beyond, mode="edge") for name, value in self.values.items()}
        return Sequences(np.pad(self.tokens, beyond), np.pad(self.determined, beyond), values)

    @override
    def __getitem__(self, trials: Int[np.ndarray, " chosen"] | slice) -> "Sequences":
        values = {name: value[trials] for name, value in self.values.items()}
        return Sequences(self.tokens[trials], self.determined[trials], values)


class Task(CausalModel, ABC):
    """A causal model that writes token sequences from B to E.

    A task of one's own sets the four names below (the vocabulary has B and E) and fills in `start`, `write` and
    `read`: docs/examples.md has one in full.
    """

    swap_at: ClassVar[tuple[str, ...]]
    """The tokens after which a state may be swapped."""
    vocabulary: Vocabulary
    filler: str | None = None
    """The token that a target is lengthened with where a stepwise swap goes on beyond its end."""
    texts: Mapping[str, str] | None = None
    """How each token is written, for networks that read text; B with all that comes before a trial."""

    @abstractmethod
    def start(self, trials: int) -> Values:
        """The values once B has been read."""

    @abstractmethod
    def write(
        self, values: Values, rng: np.random.Generator
    ) -> tuple[Int[np.ndarray, " trials"], Bool[np.ndarray, " trials"]]:
        """The next token of every trial, and whether it is determined by `values`."""

    @abstractmethod
    def read(self, values: Values, tokens: Int[np.ndarray, " trials"]) -> Values:
        """The values once `tokens` have been read, as new arrays."""

    def read_back(
        self,
        tokens: Int[np.ndarray, "trials time"],  # noqa: ARG002
    ) -> dict[str, Int[np.ndarray, "trials time"]]:
        """What else can be read off a trial after every token; what is yet to come does not depend on it."""
        return {}

    def strata(self, trials: Sequences) -> Int[np.ndarray, " trials"]:
        """The groups of trials that similarity measures draw from in equal numbers (A.3: the quantities)."""
        return np.zeros(len(trials), dtype=np.int64)

    def without_positions(self) -> "Task":
        """A variant to train networks on that could otherwise solve the task by position; here, the task itself."""
        return self

    def trials(self, count: int, rng: np.random.Generator) -> Sequences:
        """`count` trials of the task, from B to E."""
        if count < 1:
            raise InvalidArgument(f"trials must be at least 1, found {count}")
        values = self.start(count)
        begin = np.full((count, 1), self.vocabulary.id(BEGIN))
        rest = self.continue_from(values, rng)
        tokens = np.concatenate([begin, rest.tokens], axis=1)
        return Sequences(
            tokens,
            np.concatenate([np.zeros((count, 1), dtype=bool), rest.determined], axis=1),
            {k: np.concatenate([values[k][:, None], v], axis=1) for k, v in rest.values.items()}
            | self.read_back(tokens),
        )

    def continue_from(self, values: Values, rng: np.random.Generator) -> Sequences:
        """What the task writes from `values` on, up to E: after a swap, the counterfactual continuation."""
        end = self.vocabulary.id(END)
        running = np.ones(len(values[self.variables[0]]), dtype=bool)
        columns: list[tuple[Int[np.ndarray, " trials"], Bool[np.ndarray, " trials"], Values]] = []
        while running.any():
            if len(columns) == _LONGEST:
                raise InvalidArgument(f"the task {self.name} wrote {_LONGEST} tokens and no {END}")
            token, determined = self.write(values, rng)
            token = np.where(running, token, 0)
            after = self.read(values, token)
            values = {key: np.where(running, after[key], values[key]) for key in self.variables}
            columns.append((token, determined & running, values))
            running = running & (token != end)
        return Sequences(
            np.stack([token for token, _, _ in columns], axis=1),
            np.stack([determined for _, determined, _ in columns], axis=1),
            {key: np.stack([after[key] for _, _, after in columns], axis=1) for key in self.variables},
        )

    def swappable(self, tokens: Int[np.ndarray, "trials time"]) -> Bool[np.ndarray, "trials time"]:
        """Where a state may be swapped: after the tokens named in `swap_at`."""
        return np.isin(tokens, self.vocabulary.encode(self.swap_at))
