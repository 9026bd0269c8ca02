"""A line of HTML for each stage in a notebook, with a progress bar. It needs IPython, and no widgets."""

from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from typing import Any

from causalign.callbacks.pace import Pace
from causalign.callbacks.progress_line import ProgressLine
from causalign.callbacks.update import Callback, ProgressUpdate

_INTERVAL = 0.5  # seconds between redraws; each is a message from the kernel, and is kept in the notebook


class _Line:
    """What a notebook shows of an update: HTML, or plain text where there is no HTML."""

    def __init__(self, update: ProgressUpdate, text: str) -> None:
        self._update, self._text = update, text

    def __repr__(self) -> str:
        return self._text

    def _repr_html_(self) -> str:
        share = self._update.step / self._update.total if self._update.total else 1.0
        return f'<div><progress value="{share:.3f}" max="1"></progress> {escape(self._text)}</div>'


@contextmanager
def notebook_lines() -> Iterator[Callback]:
    """Yield a callback that shows a line for each stage in the output of the cell: a bar, figures, and the time left.

    A line is redrawn in its place by the handle of IPython's `display`, so that neither ipywidgets nor an extension of
    the notebook is needed, and a saved notebook keeps the last state of every line.
    """
    from IPython.display import display

    handles, waiting = dict[str, Any](), dict[str, _Line]()
    lines, pace = ProgressLine(), Pace(_INTERVAL)

    def show(update: ProgressUpdate) -> None:
        line = _Line(update, lines.text(update))
        if update.stage not in handles:
            handles[update.stage] = display(line, display_id=True)
        elif update.finished or pace.due:
            pace.begin()
            waiting.pop(update.stage, None)
            handles[update.stage].update(line)
        else:
            waiting[update.stage] = line

    try:
        yield show
    finally:
        for stage, line in waiting.items():
            handles[stage].update(line)
