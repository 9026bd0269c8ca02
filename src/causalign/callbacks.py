"""Progress updates, and the callbacks that receive them."""

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True)
class ProgressUpdate:
    """Where a stage of some work stands."""

    stage: str
    step: int
    total: int
    figures: dict[str, float] = field(default_factory=dict)
    """What there is to see, by name: the loss, the worst IIA, ..."""


Callback = Callable[[ProgressUpdate], None]
"""Is told of every step."""


def silent(update: ProgressUpdate) -> None:
    """The listener that shows nothing."""
    del update
