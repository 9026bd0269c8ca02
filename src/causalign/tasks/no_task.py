"""The placeholder for a task where a user supplies the counterfactual dataset."""

from typing import NoReturn

import numpy as np
from jaxtyping import Int
from typing_extensions import override

from causalign.errors import CausalignError, InvalidArgument
from causalign.notebook import summary_html
from causalign.tasks.base import Task
from causalign.tasks.causal_model import Values
from causalign.tasks.vocabulary import PAD, Vocabulary


class NoTask(Task):
    """No causal model: the user supplies the trials and the counterfactuals."""

    name = "given"
    variables = ()
    swap_at = ()
    vocabulary = Vocabulary((PAD,))

    @override
    def _repr_html_(self) -> str:
        return summary_html(repr(self), {"summary": self.summary})

    @override
    def start(self, trials: int) -> Values:
        raise _nothing_written()

    @override
    def write(self, values: Values, rng: np.random.Generator) -> NoReturn:
        raise _nothing_written()

    @override
    def read(self, values: Values, tokens: Int[np.ndarray, " trials"]) -> Values:
        raise _nothing_written()


def _nothing_written() -> CausalignError:
    return InvalidArgument(
        "there is no task to write trials: name one for the network, or pass align a counterfactual dataset"
    )
