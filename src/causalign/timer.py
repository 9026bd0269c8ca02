"""Where the time of an alignment goes."""

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Timer:
    """Adds up the seconds spent in each of some stages: `with clock("search"): ...`."""

    def __init__(self, *stages: str) -> None:
        self._spent = dict.fromkeys(stages, 0.0)
        self._began = time.perf_counter()

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        """Add the seconds spent within the context to a stage."""
        began = time.perf_counter()
        yield
        self._spent[stage] += time.perf_counter() - began

    def read(self) -> dict[str, float]:
        """The seconds of each stage, and of all since the clock was made, to the millisecond."""
        spent = self._spent | {"total": time.perf_counter() - self._began}
        return {stage: round(seconds, 3) for stage, seconds in spent.items()}
