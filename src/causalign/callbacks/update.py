"""Progress updates, and the callbacks that receive them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class ProgressUpdate:
    """How far a stage of some work is.

    Attributes:
        stage: The stage: `states`, `counterfactuals`, `search`, ...
        step: The steps that are done.
        total: The steps that there are at most.
        figures: Numbers to show, by name: the loss, the worst IIA, ...
    """

    stage: str
    step: int
    total: int
    figures: dict[str, float] = field(default_factory=dict)

    @property
    def finished(self) -> bool:
        """Whether the stage has done its last step."""
        return self.step >= self.total


Callback = Callable[[ProgressUpdate], None]
"""A function that is called with every update."""


def silent(_: ProgressUpdate) -> None:
    """Show nothing."""


def chain(callbacks: Sequence[Callback]) -> Callback:
    """Return a callback that calls all of these, in order."""

    def call(update: ProgressUpdate) -> None:
        for callback in callbacks:
            callback(update)

    return call
