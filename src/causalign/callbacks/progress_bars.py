"""Progress bars in a terminal."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from causalign.callbacks.update import Callback, ProgressUpdate

_FIGURES = 2  # for which a terminal of 80 columns has room


@contextmanager
def progress_bars(console: Any = None) -> Iterator[Callback]:
    """Yield a callback that draws a progress bar for each stage, with its figures and the time left.

    Args:
        console: A `rich.console.Console`. By default one that writes to the standard error.
    """
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        SpinnerColumn,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (
        SpinnerColumn(finished_text="[green]✓"),
        TextColumn("{task.description:<13}"),
        BarColumn(bar_width=14),
        MofNCompleteColumn(),
        TextColumn("{task.fields[figures]}"),
        TextColumn("≤"),  # an upper bound: a search or a training may stop before its last step
        TimeRemainingColumn(compact=True, elapsed_when_finished=True),
    )
    with Progress(*columns, console=console or Console(stderr=True)) as progress:
        bars = {}

        def show(update: ProgressUpdate) -> None:
            if update.stage not in bars:
                bars[update.stage] = progress.add_task(update.stage, total=update.total, figures="")
            shown = list(update.figures.items())[:_FIGURES]
            figures = "  ".join(f"{name} {value:.4g}" for name, value in shown)
            progress.update(bars[update.stage], completed=update.step, total=update.total, figures=figures)

        yield show
