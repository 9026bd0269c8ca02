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
"""A function that is called with every update."""


def silent(_: ProgressUpdate) -> None:
    """Show nothing."""
