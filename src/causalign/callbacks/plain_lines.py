"""Plain lines of text now and then, for where there is no terminal: the log of a job, a file."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from causalign.callbacks.stage_lines import INTERVAL, StageLines
from causalign.callbacks.update import Callback


@contextmanager
def plain_lines(stream: TextIO | None = None, every: float = INTERVAL) -> Iterator[Callback]:
    """Yield a callback that writes a line now and then: stage, step, figures and the time left.

    Each stage has its first and its last line, and one every so many seconds between them.

    Args:
        stream: The stream to write to. By default the standard error. It is flushed after every line.
        every: Seconds between the lines of a stage.
    """
    lines = StageLines(lambda line: print(line, file=stream or sys.stderr, flush=True), every)
    try:
        yield lines
    finally:
        lines.close()
