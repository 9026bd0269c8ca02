"""What networks write by themselves after prompts: generated greedily, and recorded once.

prompts --read up to the position--> ids --each network, most likely token by token--> texts
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Int

from causalign.counterfactuals.from_table import Reader
from causalign.counterfactuals.inputs import require_ids, whole_rows
from causalign.counterfactuals.shared_vocabulary import Prompts, require_same_prompts
from causalign.errors import InvalidArgument
from causalign.networks.base import Network
from causalign.networks.generation import Text, end_ids, generate


@dataclass(frozen=True)
class Generation:
    """How texts are generated. The fields are those of `Counterfactuals.from_generations`."""

    max_new_tokens: int
    positions: Any = -1
    stop: int | Sequence[int] | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.max_new_tokens, int) or isinstance(self.max_new_tokens, bool) or self.max_new_tokens < 1:
            raise InvalidArgument(f"max_new_tokens must be a whole number, at least 1; found {self.max_new_tokens!r}")

    def ends(self, network: Network) -> frozenset[int]:
        """Return the ids that end a text of a network.

        Raises:
            InvalidArgument: An id is not one that the network can predict.
        """
        if self.stop is None:
            return end_ids(network)
        ids = [self.stop] if isinstance(self.stop, int) else list(self.stop)
        if not all(isinstance(each, int | np.integer) and 0 <= each < network.known for each in ids):
            raise InvalidArgument(
                f"stop must be ids that end a text, from 0 to {network.known - 1} in {network.name}; "
                f"found {self.stop!r}"
            )
        return frozenset(map(int, ids))

    def notes(self, networks: Sequence[Network]) -> tuple[str, ...]:
        """Return the ids at which texts end, where they were not given, one sentence for each network."""
        if self.stop is not None:
            return ()
        ends = {(network.name, ", ".join(map(str, sorted(end_ids(network))))): None for network in networks}
        return tuple(
            f"A text of {name} ends at the id {ids}." if ids else f"{name} has no id that ends a text; stop gives one."
            for name, ids in ends
        )

    def cut(self, prompts: Prompts) -> list[Int[np.ndarray, " _"]]:
        """Return every prompt up to its position, the token there included.

        Raises:
            InvalidArgument: A position is not a whole number, or a prompt has no token there. The message names it.
        """
        at = np.asarray(self.positions)
        if at.dtype.kind not in "iu" or at.ndim > 1 or (at.ndim == 1 and len(at) != len(prompts)):
            raise InvalidArgument(
                f"positions must be a whole number (-1 is the last token), or one for each of {len(prompts)} prompts; "
                f"found {str(self.positions)[:60]}"
            )
        found = []
        for row, (prompt, position) in enumerate(zip(prompts, np.broadcast_to(at, len(prompts)), strict=True)):
            if not -len(prompt) <= position < len(prompt):
                raise InvalidArgument(
                    f"prompt {row} has {len(prompt)} tokens, and none at position {position}: give a position that "
                    "every prompt has, or leave the short prompts out"
                )
            found.append(prompt[: len(prompt) + position + 1] if position < 0 else prompt[: position + 1])
        return found


@dataclass(frozen=True, eq=False)
class Generations:
    """The text that each network has written after each prompt."""

    networks: tuple[str, ...]
    """The name of the network of each site."""
    index: Int[np.ndarray, " prompts"]
    """The place of each prompt among the user's."""
    prompts: tuple[Int[np.ndarray, " _"], ...]
    """The prompts, up to their positions."""
    texts: tuple[tuple[Text, ...], ...]
    """The text after each prompt, for each site. Sites of one network have the same tuple."""
    max_new_tokens: int
    """The number of tokens at which a text was cut."""

    def __len__(self) -> int:
        return len(self.prompts)

    @classmethod
    def recorded(
        cls, readers: Sequence[Reader], prompts: Prompts, index: Int[np.ndarray, " prompts"], how: Generation
    ) -> "Generations":
        """Generate the text of every network after every prompt. Sites of one network share its texts.

        Raises:
            InvalidArgument: A prompt and its text have more tokens than a network supports.
        """
        networks = [reader.site.network for reader in readers]
        ends = {id(network): how.ends(network) for network in networks}
        longest = max(map(len, prompts)) + how.max_new_tokens
        for network in networks:
            reach = getattr(network, "reach", longest)
            if len(getattr(network, "prompt", ())) + longest > reach:
                raise InvalidArgument(
                    f"a prompt and {how.max_new_tokens} new tokens are {longest} tokens, and {network.name} has "
                    f"{reach} positions: give a smaller max_new_tokens, or shorter prompts"
                )
        found: dict[int, tuple[Text, ...]] = {}
        for reader in readers:
            key = id(reader.site.network)
            if key not in found:
                reader.site.require_frozen()
                found[key] = tuple(generate(reader.site.network, prompts, how.max_new_tokens, ends[key]))
        return cls(
            tuple(network.name for network in networks),
            index,
            tuple(prompts),
            tuple(found[id(network)] for network in networks),
            how.max_new_tokens,
        )

    @property
    def empty(self) -> Bool[np.ndarray, "sites prompts"]:
        """Whether each network has ended its text at once."""
        return np.array([[text.empty for text in texts] for texts in self.texts])

    def take(self, rows: Int[np.ndarray, " chosen"]) -> "Generations":
        """Return some prompts, with their texts."""
        taken = {id(texts): tuple(texts[row] for row in rows) for texts in self.texts}
        return replace(
            self,
            index=self.index[rows],
            prompts=tuple(self.prompts[row] for row in rows),
            texts=tuple(taken[id(texts)] for texts in self.texts),
        )

    @property
    def empty_notes(self) -> tuple[str, ...]:
        """How many prompts each network writes nothing after, one sentence each."""
        counts = [(name, sum(text.empty for text in texts)) for name, texts in self._by_network]
        return tuple(
            f"{count:,} prompts were left out: {name} ends its text at once." for name, count in counts if count
        )

    @property
    def cut_notes(self) -> tuple[str, ...]:
        """How many texts of each network were cut, one sentence each."""
        counts = [(name, sum(not text.ended for text in texts)) for name, texts in self._by_network]
        return tuple(
            f"{count:,} of {len(self):,} texts of {name} had not ended after {self.max_new_tokens} tokens, and were "
            "cut there."
            for name, count in counts
            if count
        )

    @property
    def _by_network(self) -> list[tuple[str, tuple[Text, ...]]]:
        """The name and the texts of each network, which several sites may share."""
        return list({id(texts): (name, texts) for name, texts in zip(self.networks, self.texts, strict=True)}.values())

    def table(self, names: Sequence[str], tokenizers: Sequence[Any]) -> pd.DataFrame:
        """Return a line for each prompt of each site: `site, prompt, prompt_text, text, ids, ended`.

        Args:
            names: The name of each site.
            tokenizers: The tokenizer of each site; `None` where there is none, and no text.
        """
        lines = []
        for name, texts, tokenizer in zip(names, self.texts, tokenizers, strict=True):
            decode = (lambda _: None) if tokenizer is None else tokenizer.decode
            lines += [
                {
                    "site": name,
                    "prompt": int(place),
                    "prompt_text": decode(prompt.tolist()),
                    "text": decode(text.ids.tolist()),
                    "ids": text.ids.tolist(),
                    "ended": text.ended,
                }
                for place, prompt, text in zip(self.index, self.prompts, texts, strict=True)
            ]
        return pd.DataFrame(lines)


def read_prompts(readers: Sequence[Reader], prompts: Iterable[Any]) -> list[Int[np.ndarray, " _"]]:
    """Return the ids of prompts, which are the same for every network.

    Raises:
        InvalidArgument: There are no prompts, one is neither text nor ids, text has no tokenizer, an id is unknown to a
            network, or tokenizers read a prompt differently.
    """
    if isinstance(prompts, str) or not isinstance(prompts, Iterable):
        raise InvalidArgument(f"prompts must be a list of texts, or of rows of ids; found {type(prompts).__name__}")
    listed = list(prompts)
    if not listed:
        raise InvalidArgument("prompts must be a list of texts, or of rows of ids; found an empty list")
    read = [whole_rows("prompts", reader.inputs(listed, "a prompt")) for reader in readers]
    require_same_prompts(readers, read)
    for reader in readers:
        network = reader.site.network
        for row, ids in enumerate(read[0]):
            require_ids(ids, network.inputs, network.name, f"prompt {row}")
    return read[0]
