"""Checks of the user-supplied ids of a task's tokens in a network."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from causalign.errors import InvalidArgument
from causalign.tasks.vocabulary import PAD


def with_pad(tokens: Any, name: str) -> dict[str, int]:
    """Return user-supplied ids of tokens, with an id for the pad before them.

    Args:
        tokens: The id of each token. An id of the pad in it takes the place of the default, 0.
        name: The name of the network in the error message.

    Raises:
        InvalidArgument: `tokens` is not a mapping.
    """
    if not isinstance(tokens, Mapping):
        raise InvalidArgument(
            f'tokens must map each token to its id in {name}, {{"B": 1, ...}}; found {type(tokens).__name__}'
        )
    return {PAD: 0, **tokens}


def require_known(ids: Mapping[str, Any], known: int, name: str) -> None:
    """Check that a network knows every id.

    Args:
        ids: The id of each token.
        known: The number of ids that the network knows.
        name: The name of the network in the error message.

    Raises:
        InvalidArgument: An id is not a whole number from 0 up to `known`, exclusive.
    """
    for token, each in ids.items():
        if not isinstance(each, int | np.integer) or not 0 <= each < known:
            raise InvalidArgument(f"{name} has the token ids 0 to {known - 1}, found {each!r} for {token}")


def require_distinct(ids: Mapping[str, Any], known: int, name: str) -> None:
    """Check that the network knows every id, and that no two tokens but the pad share an id.

    Args:
        ids: The id of each token.
        known: The number of ids that the network knows.
        name: The name of the network in the error message.

    Raises:
        InvalidArgument: The network does not know an id, or two tokens have the same id.
    """
    require_known(ids, known, name)
    seen: dict[Any, str] = {}
    for token, each in ids.items():
        if token != PAD and seen.setdefault(each, token) != token:
            raise InvalidArgument(f"the tokens {seen[each]} and {token} have the same id {each} in {name}")
