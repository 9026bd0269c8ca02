"""Tasks: causal models that write token sequences and know the value of every variable after every token."""

from causalign.errors import lookup
from causalign.tasks._base import BEGIN, END, Sequences, Task
from causalign.tasks._causal_model import CausalModel, Observed, Values, counterfactual, require_settable
from causalign.tasks._trials import Trials
from causalign.tasks._variable import FULL, Variable
from causalign.tasks._vocabulary import PAD, Vocabulary
from causalign.tasks.arithmetic import Arithmetic
from causalign.tasks.counting import Counting, Modulo, MultiObject, Rounding, SameObject
from causalign.tasks.given import Given
from causalign.tasks.in_context import InContext

__all__ = [
    "BEGIN",
    "END",
    "FULL",
    "PAD",
    "Arithmetic",
    "CausalModel",
    "Counting",
    "Given",
    "InContext",
    "Modulo",
    "MultiObject",
    "Observed",
    "Rounding",
    "SameObject",
    "Sequences",
    "Task",
    "Trials",
    "Values",
    "Variable",
    "Vocabulary",
    "by_name",
    "counterfactual",
    "names",
    "require_settable",
]

_TASKS: dict[str, type[Task]] = {
    task.name: task for task in (MultiObject, SameObject, Modulo, Rounding, Arithmetic, InContext)
}


def names() -> list[str]:
    """The names of all tasks."""
    return list(_TASKS)


def by_name(name: str) -> Task:
    """The task of that name among the project's; a task of one's own is passed as an object instead.

    Raises:
        CausalignError: there is none.
    """
    return lookup("task", name, _TASKS)()
