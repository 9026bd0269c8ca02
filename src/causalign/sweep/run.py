"""The run of the points of a sweep: those that are not finished are submitted, and each writes a folder of its own.

points --those without a finished folder--> workers --one folder each--> finished, or a failure in one line
"""

import threading
import traceback
import warnings
from collections import deque
from collections.abc import Mapping
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, wait
from dataclasses import dataclass
from pathlib import Path
from socket import gethostname

from causalign.callbacks import Callback, ProgressUpdate, silent
from causalign.errors import CausalignError, InvalidArgument, SearchWarning
from causalign.files import output_folder
from causalign.sweep.folder import Failure, SweepFolder
from causalign.sweep.point import Point, SharedCache
from causalign.sweep.workers import WorkerLoss, Workers

_TURN = threading.Lock()  # points in threads of one process share its networks, whose hooks are one point's at a time
_KILLED = "its worker was killed, most likely because memory ran out: use fewer workers"


def run_points(
    points: Mapping[str, Point],
    folder: SweepFolder,
    workers: Workers,
    callback: Callback = silent,
    *,
    cache: SharedCache | None = None,
    pages: bool = False,
) -> None:
    """Run the points that are not finished. A point that fails is written down, and the others go on.

    Args:
        points: The points by key.
        folder: The folder of the sweep.
        workers: The workers.
        callback: A function that is called after every point.
        cache: The cache of activations that the points share. By default each reads for itself.
        pages: Whether the worker of a point, which is an alignment, draws its page as well.

    Raises:
        FileFormatError: The folder cannot be written.
        InvalidArgument: The executor broke, and cannot be opened again.
    """
    left = deque(key for key in points if folder.outcome(key) is None)
    progress = _Progress(len(points) - len(left), len(points), callback)
    progress.show()
    work = _Work(points, folder, cache, pages)
    while left:
        suspects = _drain(left, work, workers, progress)
        for key in suspects:  # the one that ended its worker is found by running each alone
            if _drain(deque([key]), work, workers, progress):
                folder.fail(key, Failure(_KILLED))
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


@dataclass(frozen=True)
class _Work:
    """The points by key, and what they share."""

    points: Mapping[str, Point]
    folder: SweepFolder
    cache: SharedCache | None
    pages: bool

    def submit(self, key: str, executor: Executor) -> Future[Failure | None]:
        path = self.folder.path.absolute()
        return executor.submit(run_point, self.points[key], key, path, self.cache, pages=self.pages)


def _drain(left: deque[str], work: _Work, workers: Workers, progress: _Progress) -> list[str]:
    """Submit points until none is left, and wait for them.

    Returns:
        The points that were running when a worker was killed; those that were not submitted are left.
    """
    running: dict[Future[Failure | None], str] = {}
    try:
        with workers.open(work.folder.path) as executor:
            while left or running:
                while left and (workers.in_flight is None or len(running) < workers.in_flight):
                    running[work.submit(left[0], executor)] = left[0]
                    left.popleft()
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    try:
                        failure = future.result()
                    except WorkerLoss as loss:
                        failure = Failure(str(loss))
                    key = running.pop(future)
                    if failure is not None:
                        work.folder.fail(key, failure)
                    progress.step()
    except BrokenExecutor:
        if not workers.restarts:
            raise InvalidArgument(
                f"the executor broke with {len(left) + len(running)} points left; finished points are kept in "
                f"{work.folder.path}: repeat the call with a new one to go on"
            ) from None
        return list(running.values())
    return []


def run_point(
    point: Point, key: str, path: Path, cache: SharedCache | None = None, *, pages: bool = False
) -> Failure | None:
    """Run a point in the process of a worker, and return the error if it failed.

    Args:
        point: The point.
        key: Its key.
        path: The folder of the sweep, which the worker must see under this path.
        cache: The cache of activations that the points share.
        pages: Whether the page of the point, which is an alignment, is drawn as well.
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
            point.run(output_folder(folder.unfinished(key)), cache=cache)
            if pages:
                from causalign.report.page import write_report  # takes half a second to import

                write_report(folder.unfinished(key))
        folder.finish(key)
    except CausalignError as error:
        return Failure(str(error))
    except Exception as error:
        return Failure(f"{type(error).__name__}: {error}", traceback.format_exc())
    return None
