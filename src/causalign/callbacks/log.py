"""Progress in the standard library's logging: the logger `causalign`."""

import logging
from collections.abc import Mapping
from typing import Any

from causalign.callbacks.stage_lines import INTERVAL, StageLines
from causalign.callbacks.tracker import Tracker
from causalign.callbacks.update import ProgressUpdate

LOGGER = logging.getLogger("causalign")
"""The logger. The library adds no handler to it and sets no level."""


class LogTracker(Tracker):
    """Logs the configuration, a line now and then, and the scores, all at the level INFO.

    `align` and `train` have one of their own, so that `logging.basicConfig(level=logging.INFO)` is all that is needed.

    Args:
        every: Seconds between the lines of a stage.
    """

    def __init__(self, every: float = INTERVAL) -> None:
        self._every = every
        self._lines = self._new_lines()

    def _new_lines(self) -> StageLines:
        return StageLines(lambda line: LOGGER.info("%s", line), self._every)

    def start(self, configuration: Mapping[str, Any]) -> None:
        """Log the configuration."""
        self._lines = self._new_lines()
        LOGGER.info("configuration: %s", dict(configuration))

    def __call__(self, update: ProgressUpdate) -> None:
        """Log the line of an update if it is due."""
        if LOGGER.isEnabledFor(logging.INFO):
            self._lines(update)

    def finish(self, figures: Mapping[str, float], stopped: str) -> None:
        """Log the scores, and why the run stopped."""
        self._lines.close()
        scores = ", ".join(f"{name} {value:.4g}" for name, value in figures.items())
        LOGGER.info("%s: %s", stopped, scores or "no scores")
