"""Tasks: causal models that write token sequences and know the value of every variable after every token."""

from causalign.errors import lookup
from causalign.tasks.arithmetic import Arithmetic
from causalign.tasks.base import BEGIN, END, Sequences, Task
from causalign.tasks.causal_model import CausalModel, Values, VariableTable, counterfactual, require_settable
from causalign.tasks.checks import check
from causalign.tasks.counting import Counting, Modulo, MultiObject, Rounding, SameObject
from causalign.tasks.in_context import InContext
from causalign.tasks.no_task import NoTask
from causalign.tasks.trials import Trials
from causalign.tasks.variable import FULL, Variable
from causalign.tasks.vocabulary import PAD, Vocabulary

__all__ = [
    "BEGIN",
    "END",
    "FULL",
    "PAD",
    "Arithmetic",
    "CausalModel",
    "Counting",
    "InContext",
    "Modulo",
    "MultiObject",
    "NoTask",
    "Rounding",
    "SameObject",
    "Sequences",
    "Task",
    "Trials",
    "Values",
    "Variable",
    "VariableTable",
    "Vocabulary",
    "by_name",
    "check",
    "counterfactual",
    "names",
    "require_settable",
]

_TASKS: dict[str, type[Task]] = {
    task.name: task for task in (MultiObject, SameObject, Modulo, Rounding, Arithmetic, InContext)
}


def names() -> list[str]:
    """Return the names of the built-in tasks."""
    return list(_TASKS)


def by_name(name: str) -> Task:
    """Return the built-in task of this name. A user-supplied task is passed as an object instead.

    Raises:
        InvalidArgument: There is no such task.
    """
    return lookup("task", name, _TASKS)()
