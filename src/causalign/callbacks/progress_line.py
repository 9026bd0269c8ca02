"""A progress update as a line of text, with the time that its stage takes."""

import time

from causalign.callbacks.update import ProgressUpdate


class ProgressLine:
    """Turns updates into lines: `search: 120 of 1,000, loss 0.12, worst IIA 0.95, at most 2 min 10 s left`.

    The time left supposes that every further step takes as long as those of the stage so far. It is an upper bound,
    because a search or a training may stop before its last step.
    """

    def __init__(self) -> None:
        self._stage, self._step = "", 0
        self._first = 0  # the steps that had been done when the stage began, as where a training is resumed
        self._started = self._latest = time.monotonic()

    def text(self, update: ProgressUpdate) -> str:
        """Return the line of an update. Updates are to be passed in the order of their arrival."""
        now = time.monotonic()
        if update.stage != self._stage or update.step < self._step:  # another stage, or the same stage once more
            self._stage, self._first, self._started = update.stage, max(update.step - 1, 0), self._latest
        self._step, self._latest = update.step, now
        parts = [f"{update.step:,} of {update.total:,}"] if update.total else []
        parts += [f"{name} {value:.4g}" for name, value in update.figures.items()]
        parts += self._time(update, now - self._started)
        return f"{update.stage}: {', '.join(parts)}"

    def _time(self, update: ProgressUpdate, elapsed: float) -> list[str]:
        """The time that a finished stage took, or that is left of another."""
        steps = update.step - self._first
        if update.finished:
            return [f"in {duration(elapsed)}"]
        return [f"at most {duration(elapsed / steps * (update.total - update.step))} left"] if steps > 0 else []


def duration(seconds: float) -> str:
    """Return a duration in its two largest units: `41 s`, `2 min 10 s`, `3 h 5 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
