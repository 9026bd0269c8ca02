"""How long work says where it stands, and the bar that shows it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeRemainingColumn,
)


@dataclass(frozen=True)
class Update:
    """Where a stage of some work stands."""

    stage: str
    step: int
    total: int
    figures: dict[str, float] = field(default_factory=dict)
    """What there is to see, by name: the loss, the worst IIA, ..."""


Listener = Callable[[Update], None]
"""Is told of every step."""


def silent(update: Update) -> None:
    """The listener that shows nothing."""
    del update


@contextmanager
def progress_bars(console: Console | None = None) -> Iterator[Listener]:
    """A listener that draws one bar a stage, with its figures and the time left, on the standard error."""
    columns = (
        SpinnerColumn(finished_text="[green]✓"),
        TextColumn("{task.description:<13}"),
        BarColumn(bar_width=14),
        MofNCompleteColumn(),
        TextColumn("{task.fields[figures]}"),
        TextColumn("≤"),  # a search or a training may settle before its last step
        TimeRemainingColumn(compact=True, elapsed_when_finished=True),
    )
    with Progress(*columns, console=console or Console(stderr=True)) as progress:
        bars = {}

        def listen(update: Update) -> None:
            if update.stage not in bars:
                bars[update.stage] = progress.add_task(update.stage, total=update.total, figures="")
            figures = "  ".join(f"{name} {value:.4g}" for name, value in update.figures.items())
            progress.update(bars[update.stage], completed=update.step, total=update.total, figures=figures)

        yield listen
