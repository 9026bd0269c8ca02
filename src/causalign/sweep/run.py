"""The run of the points of a sweep: those that are not finished are submitted, and each writes a folder of its own.

points --those without a finished folder--> workers --one folder each--> finished, or a failure in one line
"""

import threading
import traceback
import warnings
from collections import Counter, deque
from collections.abc import Mapping
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, wait
from pathlib import Path
from socket import gethostname

from causalign.callbacks import Callback, ProgressUpdate, silent
from causalign.errors import CausalignError, InvalidArgument, SearchWarning
from causalign.files import output_folder
from causalign.sweep.folder import Failure, SweepFolder
from causalign.sweep.point import Point
from causalign.sweep.workers import WorkerLoss, Workers

_TURN = threading.Lock()  # points in threads of one process share its networks, whose hooks are one point's at a time
_TRIES = 2  # a point whose worker was killed so many times has failed


def run_points(points: Mapping[str, Point], folder: SweepFolder, workers: Workers, callback: Callback = silent) -> None:
    """Run the points that are not finished. A point that fails is written down, and the others go on.

    Args:
        points: The points by key.
        folder: The folder of the sweep.
        workers: The workers.
        callback: A function that is called after every point.

    Raises:
        FileFormatError: The folder cannot be written.
        InvalidArgument: The executor broke, and cannot be opened again.
    """
    left = deque(key for key in points if folder.outcome(key) is None)
    progress = _Progress(len(points) - len(left), len(points), callback)
    progress.show()
    killed = Counter[str]()
    while left:
        running: dict[Future[Failure | None], str] = {}
        try:
            with workers.open(folder.path) as executor:
                _drain(left, running, (executor, workers.in_flight), (points, folder), progress)
        except BrokenExecutor:
            if not workers.restarts:
                raise InvalidArgument(
                    f"the executor broke with {len(left) + len(running)} points left; finished points are kept in "
                    f"{folder.path}: repeat the call with a new one to go on"
                ) from None
            killed.update(running.values())
            for key in running.values():
                if killed[key] < _TRIES:
                    left.appendleft(key)
                else:
                    message = "its worker was killed, most likely because memory ran out: use fewer workers"
                    folder.fail(key, Failure(message))
                    progress.step()


class _Progress:
    """The number of points that are done, which the callback is told."""

    def __init__(self, done: int, total: int, callback: Callback) -> None:
        self._done, self._total, self.callback = done, total, callback

    def step(self) -> None:
        self._done += 1
        self.show()

    def show(self) -> None:
        self.callback(ProgressUpdate("points", self._done, self._total))


def _drain(
    left: deque[str],
    running: dict[Future[Failure | None], str],
    where: tuple[Executor, int | None],
    what: tuple[Mapping[str, Point], SweepFolder],
    progress: _Progress,
) -> None:
    """Submit points until none is left, and wait for them."""
    (executor, most), (points, folder) = where, what
    while left or running:
        while left and (most is None or len(running) < most):
            running[executor.submit(run_point, points[left[0]], left[0], folder.path.absolute())] = left[0]
            left.popleft()
        for future in wait(running, return_when=FIRST_COMPLETED).done:
            try:
                failure = future.result()
            except WorkerLoss as loss:
                failure = Failure(str(loss))
            key = running.pop(future)
            if failure is not None:
                folder.fail(key, failure)
            progress.step()


def run_point(point: Point, key: str, path: Path) -> Failure | None:
    """Run a point in the process of a worker, and return the error if it failed.

    Args:
        point: The point.
        key: Its key.
        path: The folder of the sweep, which the worker must see under this path.
    """
    folder = SweepFolder(path)
    try:
        if not path.exists():
            raise InvalidArgument(f"{path} is not there on {gethostname()}: the folder must be shared by all machines")
        with _TURN, warnings.catch_warnings(action="ignore", category=SearchWarning):
            if point.key != key:
                raise InvalidArgument(
                    f"{gethostname()} has another causalign, or other networks or data under the same names, than the "
                    "machine that started the sweep: they must be the same on all"
                )
            point.run(output_folder(folder.unfinished(key)))
        folder.finish(key)
    except CausalignError as error:
        return Failure(str(error))
    except Exception as error:
        return Failure(f"{type(error).__name__}: {error}", traceback.format_exc())
    return None
