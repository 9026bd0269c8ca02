"""A timer of the stages of a call."""

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager


class Timer:
    """A timer that adds up the seconds spent in each stage: `with timer("search"): ...`."""

    def __init__(self) -> None:
        self._spent: dict[str, float] = defaultdict(float)
        self._start = time.perf_counter()

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        """Add the seconds spent within the context to a stage."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self._spent[stage] += time.perf_counter() - start

    def read(self) -> dict[str, float]:
        """Return the seconds of every stage, and the `total` since the timer was created, rounded to milliseconds."""
        spent = {**self._spent, "total": time.perf_counter() - self._start}
        return {stage: round(seconds, 3) for stage, seconds in spent.items()}
