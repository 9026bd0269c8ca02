"""The display of progress that suits where the program runs: a notebook, a terminal, or neither."""

import os
import sys
from contextlib import AbstractContextManager

from causalign.callbacks.notebook_lines import notebook_lines
from causalign.callbacks.plain_lines import plain_lines
from causalign.callbacks.progress_bars import progress_bars
from causalign.callbacks.update import Callback


def progress_display() -> AbstractContextManager[Callback]:
    """Return a context that yields a callback: HTML lines in a notebook, bars in a terminal, plain lines elsewhere."""
    if _in_notebook():
        return notebook_lines()
    return progress_bars() if _in_terminal() else plain_lines()


def _in_notebook() -> bool:
    """Whether a Jupyter kernel runs this code. It has imported IPython already."""
    ipython = sys.modules.get("IPython")
    return ipython is not None and getattr(ipython.get_ipython(), "kernel", None) is not None


def _in_terminal() -> bool:
    """Whether the standard error is a terminal that can redraw a line."""
    return sys.stderr is not None and sys.stderr.isatty() and os.environ.get("TERM", "") not in ("dumb", "unknown")
