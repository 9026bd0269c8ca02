"""A network's ids of a task's tokens, where somebody else trained the network."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from causalign.errors import InvalidArgument
from causalign.tasks.vocabulary import PAD


def with_pad(tokens: Any, name: str) -> dict[str, int]:
    """The ids that somebody gave, behind one for the pad.

    Raises:
        InvalidArgument: they are not given by token.
    """
    if not isinstance(tokens, Mapping):
        raise InvalidArgument(f'tokens gives an id of {name} by token, {{"B": 1, ...}}; found {type(tokens).__name__}')
    return {PAD: 0, **tokens}


def require_known(ids: Mapping[str, Any], known: int, name: str) -> None:
    """Check that a network of so many tokens knows every id.

    Raises:
        InvalidArgument: it does not.
    """
    for token, each in ids.items():
        if not isinstance(each, int | np.integer) or not 0 <= each < known:
            raise InvalidArgument(f"{name} has the token ids 0 to {known - 1}, found {each!r} for {token}")


def require_distinct(ids: Mapping[str, Any], known: int, name: str) -> None:
    """Check that every token but the pad has an id of its own, which the network knows.

    Raises:
        InvalidArgument: an id is not among the `known`, or that of two tokens.
    """
    require_known(ids, known, name)
    seen: dict[Any, str] = {}
    for token, each in ids.items():
        if token != PAD and seen.setdefault(each, token) != token:
            raise InvalidArgument(f"the tokens {seen[each]} and {token} have the same id {each} in {name}")
