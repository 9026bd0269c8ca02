"""Greedy generation: the tokens that a network writes by itself after a prompt."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Int

from causalign.networks.base import Network
from causalign.tasks.base import END

_AT_ONCE = 64  # most prompts that are read at a time
_LOGITS = 2**26  # most logits that a network without a cache may return at a time


@dataclass(frozen=True, eq=False)
class Text:
    """The tokens that a network has written after a prompt."""

    ids: Int[np.ndarray, " tokens"]
    """The tokens. The token that ends the text is the last of them, if the network has written it."""
    ended: bool
    """Whether the network has ended the text, and it was not cut."""

    @property
    def empty(self) -> bool:
        """Whether the network has ended the text at once."""
        return self.ended and len(self.ids) == 1


def end_ids(network: Network) -> frozenset[int]:
    """Return the ids that end a text of a network: those of its model's configuration, and that of its task's E.

    The generation configuration of a Hugging Face model takes the place of its configuration. A tokenizer's id of the
    end is used where neither has one.
    """
    model = getattr(network, "model", getattr(network, "module", None))
    owners = (getattr(model, "generation_config", None), getattr(model, "config", None))
    for owner in (*owners, getattr(network, "tokenizer", None)):
        found = getattr(owner, "eos_token_id", None)
        if found is not None:
            break
    of_model = {found} if isinstance(found, int) else set(found or ())
    return frozenset(of_model | ({network.ids[END]} if END in network.ids else set()))


def generate(
    network: Network, prompts: Sequence[Int[np.ndarray, " _"]], max_new_tokens: int, stop: frozenset[int]
) -> list[Text]:
    """Return what a network writes after each prompt, always its most likely next token.

    Prompts of the same length are read together, so that there are no pads.

    Args:
        network: The network.
        prompts: The ids of each prompt.
        max_new_tokens: The number of tokens at which a text is cut.
        stop: The ids that end a text.
    """
    lengths = np.array([len(prompt) for prompt in prompts])
    texts: dict[int, Text] = {}
    for length in np.unique(lengths):
        alike = np.flatnonzero(lengths == length)
        longest = (int(length) + max_new_tokens) * network.known
        for rows in np.split(alike, np.arange(0, len(alike), max(1, min(_AT_ONCE, _LOGITS // longest)))[1:]):
            written = _written(network, np.stack([prompts[row] for row in rows]), max_new_tokens, stop)
            texts |= {int(row): _cut(ids, stop) for row, ids in zip(rows, written, strict=True)}
    return [texts[row] for row in range(len(prompts))]


@torch.no_grad()
def _written(
    network: Network, prompts: Int[np.ndarray, "rows time"], max_new_tokens: int, stop: frozenset[int]
) -> Int[np.ndarray, "rows steps"]:
    """Return the most likely tokens after some prompts, until every row has ended."""
    tokens = torch.from_numpy(prompts).to(next(network.parameters()).device)
    ends = torch.tensor(sorted(stop), dtype=tokens.dtype, device=tokens.device)
    ended = torch.zeros(len(tokens), dtype=torch.bool, device=tokens.device)
    written, past = [], None
    for _ in range(max_new_tokens):
        logits, past = network.next_logits(tokens, past)
        tokens = logits.argmax(-1).to(tokens)[:, None]
        written.append(tokens)
        ended |= torch.isin(tokens[:, 0], ends)
        if bool(ended.all()):
            break
    return torch.cat(written, dim=1).cpu().numpy()


def _cut(ids: Int[np.ndarray, " steps"], stop: frozenset[int]) -> Text:
    """Return the tokens up to the first one that ends the text."""
    ends = np.flatnonzero(np.isin(ids, sorted(stop)))
    return Text(ids[: ends[0] + 1], ended=True) if len(ends) else Text(ids, ended=False)
