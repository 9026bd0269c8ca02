"""An executor of `concurrent.futures` whose calls are tasks of Ray."""

from collections.abc import Callable, Mapping
from concurrent import futures
from concurrent.futures import CancelledError, Executor, Future
from functools import partial
from pickle import PicklingError
from typing import Any

from typing_extensions import override

from causalign.errors import InvalidArgument
from causalign.sweep.remote_call import RemoteCall, unsendable
from causalign.sweep.workers import WorkerLoss

_GRACE = 30.0  # seconds in which a task that is cancelled may write its checkpoint
_RETRIES = 3  # after the loss of a machine, or of a process


class RayExecutor(Executor):
    """An executor whose calls are tasks of Ray. The program must be connected to a cluster.

    Args:
        ray: The module `ray`, which is optional.
        needs: The options `num_cpus` and `num_gpus` of a task.
        call: How a function is called on another machine.
    """

    def __init__(self, ray: Any, needs: Mapping[str, int | float], call: RemoteCall) -> None:
        self._ray = ray
        self._task = ray.remote(max_retries=_RETRIES, **needs)(_run)
        self._call = ray.put(call)
        self._tasks: dict[Future[Any], Any] = {}

    @override
    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_running_or_notify_cancel()  # it is Ray's to say when it runs; only `shutdown` cancels it
        try:
            task = self._tasks[future] = self._task.remote(self._call, fn, args, kwargs)
        except (TypeError, PicklingError) as error:
            raise unsendable(error) from None
        task.future().add_done_callback(partial(self._settle, future))
        return future

    def _settle(self, future: Future[Any], done: Future[Any]) -> None:
        """Hand the result of a task, or its exception, to its future."""
        self._tasks.pop(future, None)
        error = done.exception()
        if error is None:
            future.set_result(done.result())
        else:
            future.set_exception(self._cause(error))

    def _cause(self, error: BaseException) -> BaseException:
        """Return the exception that a task raised, or what became of its worker."""
        kinds = self._ray.exceptions
        if isinstance(error, kinds.TaskCancelledError):
            return CancelledError()
        if isinstance(error, kinds.RayTaskError):
            error = getattr(error, "cause", None) or error
        if not isinstance(error, kinds.RayError) or isinstance(error, kinds.RayTaskError):
            return error
        first = str(error).strip().partition("\n")[0]
        if isinstance(error, kinds.RaySystemError):
            return InvalidArgument(f"Ray cannot run points ({first}): install the same causalign on all machines")
        if isinstance(error, kinds.OutOfMemoryError):
            return WorkerLoss(
                "Ray ended its worker, because the memory of the machine ran out: use more cpus per point"
            )
        return WorkerLoss(f"its worker was lost {_RETRIES + 1} times ({type(error).__name__}: {first})")

    @override
    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the executor, and cancel tasks that run or wait if asked. Those that run are interrupted as by Ctrl-C."""
        tasks = dict(self._tasks)
        if cancel_futures:
            for task in tasks.values():
                self._ray.cancel(task, force=False)
        if wait:
            futures.wait(tasks, timeout=_GRACE if cancel_futures else None)


def _run(call: RemoteCall, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return call(fn, *args, **kwargs)
