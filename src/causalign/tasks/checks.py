"""Checks of a task: whether its methods follow the rules of a causal model."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from causalign.errors import InvalidArgument
from causalign.tasks.base import BEGIN, END, Task
from causalign.tasks.causal_model import Values

_TRIALS = 64
_SEEDS = (0, 1)


def check(task: Task) -> None:
    """Check a task on a few trials.

    `start` and `read` must return an array with one entry a trial for each variable. `write` and `read` must not change
    their arguments, and must return the same when they are called again with the same arguments, so every draw must
    come from the generator that `write` receives. A token that is determined must follow from the values alone.

    Raises:
        InvalidArgument: The task is not an instance of `Task`, its vocabulary lacks a token, or a method breaks a rule.
            The message names the task and the method.
    """
    if not isinstance(task, Task):
        of_class = isinstance(task, type) and issubclass(task, Task)
        hint = f"the class {task.__name__}: pass an instance, {task.__name__}()" if of_class else type(task).__name__
        raise InvalidArgument(f"a task must be an instance of causalign.tasks.Task; found {hint}")
    for token in (BEGIN, END, *task.swap_at):
        if token not in task.vocabulary.ids:
            raise InvalidArgument(f"the task {task.name}: its vocabulary lacks the token {token!r}")
    values = _call(task, "start", lambda: task.start(_TRIALS))
    _require_variables(task, "start", values)
    tokens = np.full(_TRIALS, task.vocabulary.id(BEGIN))
    running = np.ones(_TRIALS, dtype=bool)
    rng = np.random.default_rng(0)
    for _ in range(8):
        tokens = _written(task, values, rng)
        values = _read(task, values, tokens)
        running &= tokens != task.vocabulary.id(END)
        if not running.any():
            break


def _written(task: Task, values: Values, rng: np.random.Generator) -> Any:
    """Return the tokens of `write`, after checking that it returns them again."""
    state = rng.bit_generator.state

    def write() -> tuple[Any, Any]:
        rng.bit_generator.state = state
        return task.write(values, rng)

    before = {name: value.copy() for name, value in values.items()}
    tokens, determined = _call(task, "write", write)
    _require_unchanged(task, "write", before, values)
    again, _ = _call(task, "write", write)
    if not np.array_equal(tokens, again):
        raise InvalidArgument(
            f"the task {task.name}: write returns other tokens when called again; it must draw from its rng only"
        )
    for seed in _SEEDS:
        other, _ = _call(task, "write", partial(task.write, values, np.random.default_rng(seed)))
        if not np.array_equal(tokens[determined], other[determined]):
            raise InvalidArgument(f"the task {task.name}: write draws tokens at random that it marks as determined")
    return tokens


def _read(task: Task, values: Values, tokens: Any) -> Values:
    """Return the values of `read`, after checking that it returns them again."""
    before = {name: value.copy() for name, value in values.items()}
    after = _call(task, "read", lambda: task.read(values, tokens))
    _require_unchanged(task, "read", before, values)
    _require_variables(task, "read", after)
    again = _call(task, "read", lambda: task.read(values, tokens))
    if any(not np.array_equal(after[name], again[name]) for name in task.variables):
        raise InvalidArgument(f"the task {task.name}: read returns other values when called again")
    return {name: after[name] for name in task.variables}


def _call(task: Task, method: str, call: Callable[[], Any]) -> Any:
    """Return what a method returns. If it raises an error, name the method in the message."""
    try:
        return call()
    except InvalidArgument:
        raise
    except Exception as error:
        reason = (str(error).strip().splitlines() or [""])[0]
        raise InvalidArgument(f"the task {task.name}: {method} raised {type(error).__name__}: {reason}") from error


def _require_variables(task: Task, method: str, values: Any) -> None:
    for name in task.variables:
        if not isinstance(values, dict) or name not in values:
            raise InvalidArgument(f"the task {task.name}: {method} returns no values of the variable {name!r}")
        if np.shape(values[name]) != (_TRIALS,):
            raise InvalidArgument(
                f"the task {task.name}: {method} returns {name!r} of shape {list(np.shape(values[name]))}; "
                f"expected one entry a trial, [{_TRIALS}]"
            )


def _require_unchanged(task: Task, method: str, before: Values, after: Values) -> None:
    changed = [name for name in before if not np.array_equal(before[name], after[name])]
    if changed:
        raise InvalidArgument(
            f"the task {task.name}: {method} changes its argument {changed[0]!r} in place; it must return new arrays"
        )
