"""A pace: something that is due at most once in so many seconds."""

import math
import time


class Pace:
    """Whether so many seconds have passed since something was last done."""

    def __init__(self, seconds: float) -> None:
        self._seconds, self._last = seconds, -math.inf

    @property
    def due(self) -> bool:
        """Whether it is due. It is at first."""
        return time.monotonic() - self._last >= self._seconds

    def begin(self) -> None:
        """Begin to wait anew, because it is done now."""
        self._last = time.monotonic()
