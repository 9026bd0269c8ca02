"""Progress bars in a terminal."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeRemainingColumn,
)

from causalign.callbacks import Callback, ProgressUpdate


@contextmanager
def progress_bars(console: Console | None = None) -> Iterator[Callback]:
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

        def listen(update: ProgressUpdate) -> None:
            if update.stage not in bars:
                bars[update.stage] = progress.add_task(update.stage, total=update.total, figures="")
            figures = "  ".join(f"{name} {value:.4g}" for name, value in update.figures.items())
            progress.update(bars[update.stage], complete=update.step, total=update.total, figures=figures)

        yield listen
