"""The ids of a task's tokens in a language model, found by encoding trials as text."""

from typing import Any, NamedTuple

from causalign.errors import InvalidArgument
from causalign.random_streams import numpy_stream
from causalign.tasks.base import BEGIN, Task
from causalign.tasks.vocabulary import PAD

_TRIALS = 200  # trials whose text the tokenizer must read token by token


class Spelling(NamedTuple):
    """The ids with which a tokenizer encodes a task."""

    prompt: tuple[int, ...]
    """The ids that are read before the id of B in every trial."""
    ids: dict[str, int]
    """The id of each token."""


def spell(tokenizer: Any, task: Task, whose: str) -> Spelling:
    """Return the id of each token in the context where it occurs, and the ids of the prompt.

    The id of B is the last id of the text that precedes a trial. The ids are checked on the texts of random trials.

    Args:
        tokenizer: The tokenizer.
        task: The task.
        whose: The name of the network in the error message.

    Raises:
        InvalidArgument: The task does not define the texts of its tokens, or the tokenizer does not encode each token
            as one id.
    """
    if task.texts is None:
        raise InvalidArgument(
            f"{task.name} does not define the texts of its tokens (Task.texts); pass their ids as tokens"
        )
    texts = task.texts

    def read(text: str) -> list[int]:
        return list(tokenizer(text, add_special_tokens=False)["input_ids"])

    *prompt, begin = read(texts[BEGIN])
    ids = {BEGIN: begin}
    for name in task.vocabulary.tokens:
        if name not in (PAD, BEGIN):
            ids[name] = _only(read(texts[BEGIN] + texts[name]), [*prompt, begin], texts[name], tokenizer, whose)
    trials = task.trials(_TRIALS, numpy_stream(0, "spelling"))
    for names in {task.vocabulary.decode(row) for row in trials.tokens}:
        text = "".join(texts[name] for name in names.split())
        if read(text) != prompt + [ids[name] for name in names.split()]:
            trial = text.removeprefix(texts[BEGIN])
            raise InvalidArgument(f"the tokenizer of {whose} does not read {trial!r} token by token; use other words")
    return Spelling((*_leading(tokenizer, texts[BEGIN]), *prompt), ids)


def _only(found: list[int], before: list[int], text: str, tokenizer: Any, whose: str) -> int:
    """Return the one id that a text adds to those before it."""
    added = found[len(before) :]
    if found[: len(before)] != before or len(added) != 1:
        pieces = ", ".join(repr(tokenizer.decode([each])) for each in added)
        raise InvalidArgument(
            f"the tokenizer of {whose} reads {text!r} as {len(added)} tokens ({pieces}); use other words"
        )
    if added[0] == tokenizer.unk_token_id:
        raise InvalidArgument(f"the tokenizer of {whose} does not know {text!r}; use other words")
    return added[0]


def _leading(tokenizer: Any, text: str) -> list[int]:
    """Return the token with which the tokenizer begins every text, if there is one."""
    first = tokenizer(text)["input_ids"][0]
    return [first] if first == tokenizer.bos_token_id else []
