"""Vocabularies: the names of tokens and their ids."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Int

from causalign.errors import InvalidArgument, lookup

PAD = "P"


@dataclass(frozen=True)
class Vocabulary:
    """Token names in the order of their ids. The first is the pad `P`, with id 0.

    Raises:
        InvalidArgument: The first token is not the pad, or a token is named twice.
    """

    tokens: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.tokens or self.tokens[0] != PAD:
            raise InvalidArgument(f"a vocabulary must start with the pad {PAD!r}, found {self.tokens[:1]}")
        if len(set(self.tokens)) != len(self.tokens):
            raise InvalidArgument(f"a vocabulary must name every token once, found {self.tokens}")

    @classmethod
    def of(cls, names: str) -> "Vocabulary":
        """Return the vocabulary of the pad and space-separated `names`."""
        return cls((PAD, *names.split()))

    def __len__(self) -> int:
        return len(self.tokens)

    @cached_property
    def ids(self) -> dict[str, int]:
        """The id of each token."""
        return {name: index for index, name in enumerate(self.tokens)}

    def id(self, name: str) -> int:
        """Return the id of one token.

        Raises:
            InvalidArgument: The vocabulary has no such token.
        """
        return lookup("token", name, self.ids)

    def encode(self, names: str | Iterable[str]) -> Int[np.ndarray, " time"]:
        """Return the ids of space-separated (or listed) token names.

        Raises:
            InvalidArgument: The vocabulary lacks one of the tokens.
        """
        words = names.split() if isinstance(names, str) else names
        return np.array([self.id(name) for name in words], dtype=np.int64)

    def decode(self, ids: Int[np.ndarray, " time"]) -> str:
        """Return the names of token ids, separated by spaces, without pads."""
        return " ".join(self.tokens[i] for i in ids if i)

    def within(self, ids: Mapping[str, int], whose: str) -> Int[np.ndarray, " tokens"]:
        """Return the ids of these tokens in another vocabulary. Tokens are matched by name.

        Args:
            ids: The id of each token of the other vocabulary.
            whose: The owner of the other vocabulary, for messages.

        Returns:
            A table in which the entry at an id of this vocabulary is the id in the other one.

        Raises:
            InvalidArgument: `ids` lacks some of these tokens.
        """
        missing = [name for name in self.tokens if name not in ids]
        if missing:
            raise InvalidArgument(f"{whose} does not know the tokens {', '.join(missing)}; it knows {', '.join(ids)}")
        return np.array([ids[name] for name in self.tokens], dtype=np.int64)
