"""An executor of `concurrent.futures` whose calls are jobs of submitit."""

import threading
from collections.abc import Callable
from concurrent import futures
from concurrent.futures import CancelledError, Executor, Future
from contextlib import suppress
from dataclasses import dataclass
from pickle import PicklingError
from typing import Any

from typing_extensions import override

from causalign.errors import InvalidArgument
from causalign.sweep.remote_call import RemoteCall, unsendable
from causalign.sweep.workers import WorkerLoss

_GRACE = 40.0  # seconds in which jobs that are cancelled may end: SLURM kills them after 30


class SlurmExecutor(Executor):
    """An executor whose calls are jobs of submitit. A thread looks for their results in its folder.

    Args:
        jobs: The executor of submitit.
        call: How a function is called on another machine.
        poll: The seconds between two looks.
    """

    def __init__(self, jobs: Any, call: RemoteCall, poll: float) -> None:
        self._submit, self._job, self._poll = jobs.submit, _Job(call), poll
        self._running: dict[Future[Any], Any] = {}
        self._cancelled = False
        self._ended = threading.Event()
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self._watcher.start()

    @override
    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_running_or_notify_cancel()  # it is SLURM's to say when it runs; only `shutdown` cancels it
        try:
            self._running[future] = self._submit(self._job, fn, *args, **kwargs)
        except (TypeError, PicklingError) as error:
            raise unsendable(error) from None
        except (RuntimeError, OSError) as error:
            raise InvalidArgument(f"the job was not accepted: {_first_line(error)}") from None
        return future

    def _watch(self) -> None:
        while not self._ended.wait(self._poll):
            for future, job in list(self._running.items()):
                with suppress(OSError):  # a shared folder may be away for a while
                    if job.done(self._cancelled):
                        _settle(future, job, self._cancelled)
                        del self._running[future]

    @override
    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the executor, and cancel jobs that run or wait if asked. They keep their last checkpoint."""
        running = dict(self._running)
        if cancel_futures:
            self._cancelled = True
            for job in running.values():
                job.cancel(check=False)
        if wait:
            futures.wait(running, timeout=_GRACE if cancel_futures else None)
            self._ended.set()
            self._watcher.join()


def _settle(future: Future[Any], job: Any, cancelled: bool) -> None:
    """Hand the result of a job that is done, or its exception, to its future."""
    if cancelled and not job.paths.result_pickle.exists():
        future.set_exception(CancelledError())
        return
    try:
        result, error = job.result()
    except Exception as lost:  # whatever became of a job, the others are watched
        future.set_exception(WorkerLoss(f"its job was lost ({_first_line(lost)}): see {job.paths.stderr}"))
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__


@dataclass(frozen=True)
class _Job:
    """What a job runs. submitit keeps the text of an exception only, so that exceptions are returned."""

    call: RemoteCall

    def __call__(self, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> tuple[Any, Exception | None]:
        try:
            return self.call(fn, *args, **kwargs), None
        except Exception as error:
            return None, error

    def checkpoint(self, *args: Any, **kwargs: Any) -> Any:
        """Return what submitit queues again when the job is stopped: the same call, which finds its checkpoint."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self, *args, **kwargs)
