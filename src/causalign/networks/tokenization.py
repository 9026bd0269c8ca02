"""Which ids of a language model stand for a task's tokens: found by encoding trials as text."""

from typing import Any, NamedTuple

from causalign.errors import InvalidArgument
from causalign.random_streams import numpy_stream
from causalign.tasks.base import BEGIN, Task
from causalign.tasks.vocabulary import PAD

_TRIALS = 200  # whose text has to be read token by token


class Spelling(NamedTuple):
    """How a tokenizer reads a task."""

    prompt: tuple[int, ...]
    """What is read before B's own id, at every trial."""
    ids: dict[str, int]


def spell(tokenizer: Any, task: Task, whose: str) -> Spelling:
    """The id of each token in the context that it occurs in; B's is the last of what comes before a trial.

    Raises:
        InvalidArgument: the task is not written as text, or the tokenizer does not read one id for each of its tokens.
    """
    if task.texts is None:
        raise InvalidArgument(f"{task.name} does not say how its tokens are written (Task.texts): give their ids")
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
    """The one id that a text adds to those before it."""
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
    """The token that this tokenizer begins every text with, if it does."""
    first = tokenizer(text)["input_ids"][0]
    return [first] if first == tokenizer.bos_token_id else []
