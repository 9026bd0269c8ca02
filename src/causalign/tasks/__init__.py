"""Tasks: causal models that write token sequences and know the value of every variable after every token."""

from causalign.errors import lookup
from causalign.tasks._base import BEGIN, END, FULL, Sequences, Task, Values, counterfactual, require_settable
from causalign.tasks._vocabulary import PAD, Vocabulary
from causalign.tasks.multi_object import MultiObject

__all__ = [
    "BEGIN",
    "END",
    "FULL",
    "PAD",
    "MultiObject",
    "Sequences",
    "Task",
    "Values",
    "Vocabulary",
    "by_name",
    "counterfactual",
    "names",
    "require_settable",
]

_TASKS: dict[str, type[Task]] = {task.name: task for task in (MultiObject,)}


def names() -> list[str]:
    """The names of all tasks."""
    return list(_TASKS)


def by_name(name: str) -> Task:
    """The task of that name among the project's; a task of one's own is passed as an object instead.

    Raises:
        CausalignError: there is none.
    """
    return lookup("task", name, _TASKS)()
