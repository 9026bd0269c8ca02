"""The counting task in words. A prompt before every trial explains it to a language model."""

from collections.abc import Iterable, Sequence

import numpy as np
from jaxtyping import Int
from typing_extensions import override

from causalign.errors import InvalidArgument
from causalign.tasks.counting import Counting

_EXAMPLES = (2, 4)  # quantities of the solved examples in the prompt


class InContext(Counting):
    """Multi-Object in words: "nut" n times, a colon, "seed" n times, and "stop". `B D D T R R E`.

    The trials are those of any counting task, and the prompt is not part of their tokens. A network that reads text
    reads the prompt with B, and may keep the resulting state for all trials. So a swap is never in the prompt,
    positions count from B, and a stepwise swap with a network that has no prompt pairs demo token with demo token.

    Args:
        counts: The quantities that occur.
        words: The words for a demo token, a response, and the end. A tokenizer must have one token for each.
        failed: Quantities to leave out of `counts`, because the network that does this task fails them.

    Raises:
        InvalidArgument: A quantity is not from 1 to 20, or the words are not three different words without spaces
            around them.
    """

    name = "in-context"
    swap_at = ("D", "R")
    demos = ("D",)

    def __init__(
        self,
        counts: Iterable[int] = range(1, 13),
        words: Sequence[str] = ("nut", "seed", "stop"),
        failed: Iterable[int] = (),
    ) -> None:
        self.failed = tuple(sorted(failed))
        super().__init__(quantities=set(counts).difference(self.failed))
        self.words = tuple(words)
        if len(set(self.words)) != 3 or not all(word and word == word.strip() for word in self.words):
            raise InvalidArgument(f"words must be three different words without spaces around them; found {self.words}")
        demo, response, end = self.words
        self.texts = {"B": self.prompt, "D": f" {demo}", "T": ":", "R": f" {response}", "E": f" {end}"}

    @property
    def prompt(self) -> str:
        """The text before a trial: the rule, and two solved examples."""
        demo, response, end = self.words
        rule = (
            f'The user says "{demo}" some number of times. The reply says "{response}" exactly as many times, '
            f'then "{end}", and nothing else.'
        )
        solved = [f"User{f' {demo}' * count}:{f' {response}' * count} {end}" for count in _EXAMPLES]
        return "\n".join([rule, *solved, "User"])

    @property
    @override
    def summary(self) -> str:
        failed = (
            f" Left out, because the network fails them: {', '.join(map(str, self.failed))}." if self.failed else ""
        )
        return f"{super().summary}{failed}"

    @override
    def only(self, quantities: Iterable[int]) -> "InContext":
        return InContext(quantities, self.words, self.failed)

    @override
    def responses(self, quantity: Int[np.ndarray, " trials"]) -> Int[np.ndarray, " trials"]:
        return quantity

    @override
    def without_positions(self) -> "InContext":
        return self
