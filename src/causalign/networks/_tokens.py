"""A network's ids of a task's tokens, where somebody else trained the network."""

from collections.abc import Mapping

from causalign.errors import CausalignError
from causalign.tasks import PAD


def require_distinct(ids: Mapping[str, int], known: int, name: str) -> None:
    """Check that every token but the pad has an id of its own, which the network knows.

    Raises:
        CausalignError: an id is not among the `known`, or that of two tokens.
    """
    seen: dict[int, str] = {}
    for token, each in ids.items():
        if not 0 <= each < known:
            raise CausalignError(f"{name} has the token ids 0 to {known - 1}, found {each} for {token}")
        if token != PAD and seen.setdefault(each, token) != token:
            raise CausalignError(f"the tokens {seen[each]} and {token} have the same id {each} in {name}")
