"""Timing on a shared machine: the things that are compared run in turn, and the medians count."""

import multiprocessing
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch

from causalign.callbacks import ProgressUpdate
from causalign.memory import GIB, most_held

Seconds = dict[str, float]
Work = Callable[[], object]


def now() -> float:
    """Return the time in seconds, once a GPU has finished its queued work."""
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()
    return time.perf_counter()


def seconds(work: Work) -> float:
    """Return the seconds that some work takes."""
    began = now()
    work()
    return now() - began


def in_turn(work: Mapping[str, Work], repeats: int) -> Seconds:
    """Return the median seconds of several pieces of work that run in turn.

    Args:
        work: The pieces of work, by name.
        repeats: Number of times that each is timed. All of them run once before, to warm up.
    """
    taken = [{name: seconds(each) for name, each in work.items()} for _ in range(repeats + 1)][1:]
    return {name: statistics.median(turn[name] for turn in taken) for name in work}


class Steps:
    """A callback that times the steps of a search or training, and the rivals after each of them.

    Args:
        stage: The stage whose steps are timed, `"search"` or `"training"`.
        rivals: The work to time after each step, by name.
    """

    def __init__(self, stage: str, rivals: Mapping[str, Work]) -> None:
        self._stage, self._rivals = stage, rivals
        self._began: float | None = None
        self._step = 0
        self._taken: dict[str, list[float]] = {name: [] for name in ("ours", *rivals)}

    def __call__(self, update: ProgressUpdate) -> None:
        """Time the step that an update reports. Updates of other stages are ignored."""
        if update.stage != self._stage or update.step == self._step:
            return
        if self._began is not None:
            self._taken["ours"].append(now() - self._began)
            for name, rival in self._rivals.items():
                self._taken[name].append(seconds(rival))
        self._step, self._began = update.step, now()

    def medians(self) -> Seconds:
        """Return the median seconds of `ours` and of each rival. The first measurement warms up and does not count."""
        return {name: statistics.median(taken[1:]) for name, taken in self._taken.items()}


def matrix_multiply(device: str = "cpu") -> tuple[Work, float]:
    """Return a float32 matrix multiplication, which measures the machine's rate, and its number of operations."""
    rows = 1024 if device == "cpu" else 8192
    a, b = (torch.randn(rows, rows, generator=torch.Generator().manual_seed(i)).to(device) for i in range(2))
    out = torch.empty_like(a)
    return lambda: torch.mm(a, b, out=out), 2.0 * rows**3


@contextmanager
def threads(number: int) -> Iterator[None]:
    """Set the number of torch's threads within the context, and restore it afterwards."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def in_child(function: Callable[..., Any], *arguments: Any) -> tuple[Any, float]:
    """Call a function in a fresh process, with as many threads of torch as this one has.

    Returns:
        The value of the function, and the peak memory of the process in GiB.
    """
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        return pool.apply(_observed, (torch.get_num_threads(), function, arguments))


def _observed(number: int, function: Callable[..., Any], arguments: tuple[Any, ...]) -> tuple[Any, float]:
    with threads(number):
        result = function(*arguments)
    return result, most_held() / GIB
