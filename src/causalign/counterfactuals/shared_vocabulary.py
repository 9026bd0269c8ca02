"""Whether networks share a vocabulary, so that what one of them writes can be read by another."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Int

from causalign.counterfactuals.from_table import Reader
from causalign.errors import InvalidArgument
from causalign.tasks.vocabulary import PAD

Prompts = Sequence[Int[np.ndarray, " _"]]
_WHY = "what one network writes, another has to read"


def require_same_vocabulary(readers: Sequence[Reader]) -> tuple[str, ...]:
    """Check that an id is the same token in all networks.

    Args:
        readers: The network and the tokenizer of each site.

    Returns:
        Notes on what was assumed, one sentence each.

    Raises:
        InvalidArgument: The tokenizers, the tokens of the tasks, or (where there are neither) the numbers of ids
            differ.
    """
    first, assumed = readers[0], dict[str, None]()
    for other in readers[1:]:
        if other.site.network is first.site.network and other.tokenizer is first.tokenizer:
            continue
        vocabularies = [_vocabulary(reader) for reader in (first, other)]
        names = f"{first.site.network.name} and {other.site.network.name}"
        if None not in vocabularies:
            _require_same(vocabularies[0] or {}, vocabularies[1] or {}, names)
            continue
        known = [reader.site.network.known for reader in (first, other)]
        if known[0] != known[1]:
            raise InvalidArgument(
                f"{names} have {known[0]} and {known[1]} token ids, and not both have a tokenizer: {_WHY}, so they "
                "must share a vocabulary"
            )
        assumed[f"{names} are assumed to share a vocabulary: not both have a tokenizer, and an id is one token."] = None
    return tuple(assumed)


def require_same_prompts(readers: Sequence[Reader], prompts: Sequence[Prompts]) -> None:
    """Check that all tokenizers read every prompt alike.

    Raises:
        InvalidArgument: The ids of a prompt differ. The message names the first such prompt.
    """
    for reader, own in zip(readers[1:], prompts[1:], strict=True):
        for row, (ids, others) in enumerate(zip(prompts[0], own, strict=True)):
            if not np.array_equal(ids, others):
                first, other = readers[0].site.network.name, reader.site.network.name
                raise InvalidArgument(
                    f"prompt {row} is {ids.tolist()[:8]} in {first} and {others.tolist()[:8]} in {other}, which have "
                    f"different tokenizers: {_WHY}"
                )


def _vocabulary(reader: Reader) -> dict[Any, int] | None:
    """Return the id of each token, by the tokenizer or by the task; `None` if neither is known."""
    if reader.tokenizer is not None:
        read = getattr(reader.tokenizer, "get_vocab", None)
        return None if read is None else dict(read())
    named = {name: each for name, each in reader.site.network.ids.items() if name != PAD}
    return named or None


def _require_same(first: dict[Any, int], other: dict[Any, int], names: str) -> None:
    """Check that two vocabularies have the same ids."""
    if first == other:
        return
    token = min((each for each in {**first, **other} if first.get(each) != other.get(each)), key=str)
    found = " and ".join("no token" if each is None else f"id {each}" for each in (first.get(token), other.get(token)))
    raise InvalidArgument(
        f"{names} have different tokenizers: {token!r} is {found}; {_WHY}, so they must share a vocabulary"
    )
