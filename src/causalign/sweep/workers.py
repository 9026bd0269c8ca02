"""The workers of a sweep: what carries out its points.

Each kind opens a `concurrent.futures.Executor`. Processes on this machine are the default. `ray_workers.py` and
`slurm_workers.py` have those on other machines.
"""

import multiprocessing
import os
import signal
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from multiprocessing.context import SpawnContext
from pathlib import Path
from typing import Any

import torch
from typing_extensions import override

from causalign.sweep.processes import process_context

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_GRACE = 30.0  # seconds in which a worker whose parent has ended may write its checkpoint


class WorkerLoss(Exception):
    """The worker of a point was lost, and the executor goes on without it. The message is one line."""


class Workers(ABC):
    """The workers of a sweep."""

    in_flight: int | None = None
    """The number of points that are submitted at a time. `None` submits all at once, for a scheduler of its own."""
    restarts: bool = False
    """Whether new workers can be opened after one was killed."""

    def checked(self) -> "Workers":
        """Return these workers, once it is known that they can be opened. Nothing is written before.

        Raises:
            CausalignError: They cannot be opened.
        """
        return self

    @abstractmethod
    def open(self, folder: Path) -> AbstractContextManager[Executor]:
        """Open a context with the executor. When it is left by an exception, the workers are stopped.

        Args:
            folder: The folder of the sweep, for what the workers write beside the points.
        """


class SerialExecutor(Executor):
    """An executor that runs each call in this process when it is submitted."""

    @override
    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


@dataclass(frozen=True)
class Serial(Workers):
    """This process, which runs one point after another."""

    in_flight = 1

    @override
    @contextmanager
    def open(self, folder: Path) -> Iterator[Executor]:
        yield SerialExecutor()


@dataclass(frozen=True)
class Supplied(Workers):
    """An executor of the user's, which is neither started nor shut down."""

    executor: Executor

    @override
    @contextmanager
    def open(self, folder: Path) -> Iterator[Executor]:
        yield self.executor


@dataclass(frozen=True)
class Processes(Workers):
    """Processes on this machine, each with its share of the processor's threads and, where there are any, one GPU.

    Attributes:
        count: The number of processes.
        context: How they are started. `process_context` has one for given work.
    """

    count: int
    context: SpawnContext = field(default_factory=lambda: process_context({}))
    restarts = True

    @property
    def in_flight(self) -> int:  # type: ignore[override]
        """One point for each process: those that are submitted are those that run."""
        return self.count

    @override
    @contextmanager
    def open(self, folder: Path) -> Iterator[Executor]:
        share = max(1, cores() // self.count)
        gpus: Any = self.context.Queue()  # each process takes the number of one
        for index in range(self.count):
            gpus.put(index % torch.cuda.device_count() if torch.cuda.is_available() else None)
        with _environment(dict.fromkeys(THREADS, str(share))):
            pool = ProcessPoolExecutor(self.count, mp_context=self.context, initializer=_begin, initargs=(share, gpus))
            try:
                yield pool
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                for process in multiprocessing.active_children():
                    process.terminate()  # it writes its checkpoint
                raise
            finally:
                pool.shutdown(wait=True, cancel_futures=True)


def cores() -> int:
    """Return the number of cores that this process may use.

    On Linux these are the cores that a scheduler assigned to the process. Elsewhere they are all cores.
    """
    if hasattr(os, "sched_getaffinity"):  # Linux
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    """Set environment variables within the context."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _begin(threads: int, gpus: Any) -> None:
    """Set the threads and the GPU of a worker, and end the worker when its parent ends for any reason."""
    torch.set_num_threads(threads)
    gpu = gpus.get()
    if gpu is not None:
        torch.cuda.set_device(gpu)
    parent = multiprocessing.parent_process()
    if parent is not None:

        def end_with_parent() -> None:
            parent.join()
            os.kill(os.getpid(), signal.SIGTERM)
            threading.Event().wait(_GRACE)
            os._exit(1)

        threading.Thread(target=end_with_parent, daemon=True).start()
