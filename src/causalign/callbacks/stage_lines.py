"""Lines of text now and then: where each stage begins, every so many seconds, and where it ends."""

from collections.abc import Callable

from causalign.callbacks.pace import Pace
from causalign.callbacks.progress_line import ProgressLine
from causalign.callbacks.update import ProgressUpdate

INTERVAL = 30.0
"""The seconds between the lines of a stage, by default."""


class StageLines:
    """A callback that writes the first and the last line of each stage, and one every so many seconds between them."""

    def __init__(self, write: Callable[[str], None], every: float = INTERVAL) -> None:
        self._write, self._pace, self._line = write, Pace(every), ProgressLine()
        self._stages = set[str]()
        self._waiting: str | None = None
        self._last = ("", -1, -1)

    def __call__(self, update: ProgressUpdate) -> None:
        """Write the line of an update if it is due."""
        place = (update.stage, update.step, update.total)
        if place == self._last:
            return  # a search repeats its last step
        if update.stage != self._last[0]:
            self.close()
        line, self._last = self._line.text(update), place
        if update.finished or update.stage not in self._stages or self._pace.due:
            self._stages.add(update.stage)
            self._pace.begin()
            self._waiting = None
            self._write(line)
        else:
            self._waiting = line

    def close(self) -> None:
        """Write the last line that came, if it was not due."""
        if self._waiting is not None:
            self._write(self._waiting)
        self._waiting = None
