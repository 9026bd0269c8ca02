"""The base class of tasks: causal models that write token sequences.

A task is defined by three functions of the values of its causal variables: the values at the start of a trial
(`start`), the next token (`write`), and the values after a token (`read`). All of them work on arrays with one entry a
trial. The rest of a trial depends on these values only. So the same three functions write trials, give the value of
every variable after every token, and write the expected output once a variable has been set to another value.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Bool, Int
from typing_extensions import override

from causalign.errors import InvalidArgument
from causalign.notebook import summary_html
from causalign.tasks.causal_model import CausalModel, Values
from causalign.tasks.trials import Trials
from causalign.tasks.vocabulary import Vocabulary

BEGIN, END = "B", "E"
_LONGEST = 10_000  # tokens; a task that writes more is taken to never end


@dataclass(frozen=True, eq=False)
class Sequences(Trials):
    """Token sequences written by a task, padded at the end with id 0, the pad."""

    tokens: Int[np.ndarray, "trials time"]
    """The ids of the tokens."""
    determined: Bool[np.ndarray, "trials time"]
    """Whether a token follows from the tokens before it. All other tokens are drawn at random."""
    values: dict[str, Int[np.ndarray, "trials time"]]
    """The value of every variable after each token. At pads it is the last value."""

    @property
    @override
    def lengths(self) -> Int[np.ndarray, " trials"]:
        """The number of tokens of each trial, without pads."""
        return np.count_nonzero(self.tokens, axis=1)

    @override
    def __len__(self) -> int:
        return len(self.tokens)

    def __repr__(self) -> str:
        return f"Sequences({len(self)} trials of up to {self.tokens.shape[1]} tokens, {', '.join(self.values)})"

    def padded(self, time: int) -> "Sequences":
        """Return the same trials, padded to `time` tokens."""
        beyond = ((0, 0), (0, time - self.tokens.shape[1]))
        values = {name: np.pad(value, beyond, mode="edge") for name, value in self.values.items()}
        return Sequences(np.pad(self.tokens, beyond), np.pad(self.determined, beyond), values)

    @override
    def __getitem__(self, trials: Int[np.ndarray, " chosen"] | slice) -> "Sequences":
        values = {name: value[trials] for name, value in self.values.items()}
        return Sequences(self.tokens[trials], self.determined[trials], values)


class Task(CausalModel, ABC):
    """A causal model that writes token sequences from B to E.

    A user-supplied task sets `name`, `variables`, `swap_at` and `vocabulary` (which has B and E), and implements
    `start`, `write` and `read`. A complete example is in docs/examples.md.
    """

    swap_at: ClassVar[tuple[str, ...]]
    """The tokens after which a state may be swapped."""
    vocabulary: Vocabulary
    """The tokens and their ids."""
    filler: str | None = None
    """The token that lengthens a target where a stepwise swap goes on beyond its end."""
    texts: Mapping[str, str] | None = None
    """The text of each token, for networks that read text. The text of B includes all that precedes a trial."""

    def _repr_html_(self) -> str:
        """The task in a notebook: its summary, its variables, and three of its trials."""
        drawn = self.trials(3, np.random.default_rng(0))
        trials = "; ".join(self.vocabulary.decode(row) for row in drawn.tokens)
        entries = {
            "summary": self.summary,
            "variables": ", ".join(self.variables),
            "swapped after": " ".join(self.swap_at),
            "tokens": " ".join(self.vocabulary.tokens),
            "trials, for example": trials,
        }
        return summary_html(repr(self), entries)

    @abstractmethod
    def start(self, trials: int) -> Values:
        """Return the values after B, for this number of trials."""

    @abstractmethod
    def write(
        self, values: Values, rng: np.random.Generator
    ) -> tuple[Int[np.ndarray, " trials"], Bool[np.ndarray, " trials"]]:
        """Return the next token of every trial, and whether it is determined by `values`.

        Args:
            values: The value of every variable.
            rng: The generator from which all random draws must come.
        """

    @abstractmethod
    def read(self, values: Values, tokens: Int[np.ndarray, " trials"]) -> Values:
        """Return the values after one more token of every trial, as new arrays."""

    def read_back(
        self,
        tokens: Int[np.ndarray, "trials time"],  # noqa: ARG002
    ) -> dict[str, Int[np.ndarray, "trials time"]]:
        """Return further readings of a trial after every token. The rest of the trial does not depend on them."""
        return {}

    def strata(self, trials: Sequences) -> Int[np.ndarray, " trials"]:
        """Return the stratum of each trial. Similarity measures draw equally from all strata (A.3: the quantities)."""
        return np.zeros(len(trials), dtype=np.int64)

    def without_positions(self) -> "Task":
        """Return a variant to train networks on that could otherwise solve the task by position.

        By default it is the task itself.
        """
        return self

    def trials(self, count: int, rng: np.random.Generator) -> Sequences:
        """Return `count` trials of the task, from B to E.

        Raises:
            InvalidArgument: `count` is below 1, or the task writes no E.
        """
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
        """Return what the task writes after `values`, up to E. After a swap it is the expected output.

        Raises:
            InvalidArgument: The task writes no E.
        """
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
        """Return whether a state may be swapped after each token. It may after the tokens in `swap_at`."""
        return np.isin(tokens, self.vocabulary.encode(self.swap_at))
