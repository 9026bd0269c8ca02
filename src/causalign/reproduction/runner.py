"""The runner of comparisons. It writes a whole file for each finished comparison, and continues from these files.

comparisons --those without a file--> workers --one file each--> outcomes
"""

import multiprocessing
import os
import threading
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path

import torch
from pydantic import TypeAdapter, ValidationError

from causalign.callbacks import Callback, ProgressUpdate, silent
from causalign.errors import InvalidArgument, SearchWarning
from causalign.files import output_folder, write_text
from causalign.reproduction.points import AlignmentOutcome, AlignmentPoint, Comparison, Outcome

_COMPARISON: TypeAdapter[Comparison] = TypeAdapter(Comparison)
_OUTCOME: TypeAdapter[Outcome] = TypeAdapter(Outcome)


def cores() -> int:
    """Return the number of cores that this process may use.

    On Linux these are the cores that a scheduler assigned to the process. Elsewhere they are all cores.
    """
    if hasattr(os, "sched_getaffinity"):  # Linux
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def run_all(
    comparisons: Sequence[Comparison], folder: Path, workers: int, callback: Callback = silent
) -> dict[str, Outcome]:
    """Run every comparison, and return the outcomes by key.

    A comparison that has a file in `folder` is not run again. Each worker has its share of the processor's threads.
    Finished comparisons are kept after Ctrl-C, and after an error in another.

    Args:
        comparisons: The comparisons. Those with the same key are run once.
        folder: The folder of the outcomes' files.
        workers: The number of processes. With 1, the comparisons are run in this process.
        callback: A function that is called after every comparison.

    Raises:
        InvalidArgument: A comparison cannot be run, or a worker was killed.
        FileFormatError: The folder cannot be written.
    """
    output_folder(folder)
    by_key = {comparison.key: comparison for comparison in comparisons}
    outcomes = {key: outcome for key in by_key if (outcome := _finished(folder, key)) is not None}
    callback(ProgressUpdate("comparisons", len(outcomes), len(by_key)))
    left = {key: comparison for key, comparison in by_key.items() if key not in outcomes}
    for key in _run(left, folder, workers):
        finished = _finished(folder, key)
        assert finished is not None  # its file has just been written
        outcomes[key] = finished
        callback(ProgressUpdate("comparisons", len(outcomes), len(by_key)))
    return outcomes


def _finished(folder: Path, key: str) -> Outcome | None:
    """Return the outcome in the file of a comparison, or `None` if the file is missing or broken."""
    try:
        return _OUTCOME.validate_json((folder / f"{key}.json").read_bytes())
    except (OSError, ValidationError):
        return None


def _run(left: dict[str, Comparison], folder: Path, workers: int) -> Iterator[str]:
    """Run comparisons, and yield the key of each when it is finished."""
    if workers == 1 or len(left) < 2:
        for key, comparison in left.items():
            _work(comparison.model_dump_json(), folder)
            yield key
        return
    share = max(1, cores() // workers)
    with _pool(min(workers, len(left)), share) as pool:
        waiting: dict[Future[None], str] = {
            pool.submit(_work, comparison.model_dump_json(), folder): key for key, comparison in left.items()
        }
        while waiting:
            done, _ = wait(waiting, return_when=FIRST_COMPLETED)
            for future in done:
                try:
                    future.result()
                except BrokenProcessPool:
                    raise InvalidArgument(
                        "a worker was killed, most likely because memory ran out; finished comparisons are kept in "
                        f"{folder}: repeat the command with fewer --workers to continue"
                    ) from None
                yield waiting.pop(future)


@contextmanager
def _pool(workers: int, share: int) -> Iterator[ProcessPoolExecutor]:
    """Yield a pool of fresh processes with `share` threads each.

    Libraries other than torch read the number of threads from the environment.
    """
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, str(share)))
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_begin, initargs=(share,))
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _begin(share: int) -> None:
    """Set the number of threads of a worker, and end the worker when its parent process ends for any reason."""
    torch.set_num_threads(share)
    parent = multiprocessing.parent_process()
    if parent is not None:

        def end_with_parent() -> None:
            parent.join()
            os._exit(1)

        threading.Thread(target=end_with_parent, daemon=True).start()


def _work(comparison: str, folder: Path) -> None:
    """Run one comparison, and write its file.

    An alignment with controls also has a file without them, so that an interruption of the controls loses no search.
    """
    point = _COMPARISON.validate_json(comparison)
    with warnings.catch_warnings(action="ignore", category=SearchWarning):
        if isinstance(point, AlignmentPoint) and point.spec.controls:
            outcome = _finished(folder, point.without_controls.key) or _write(point.without_controls.run(), folder)
            assert isinstance(outcome, AlignmentOutcome)  # the key is of an alignment
            _write(point.with_controls(outcome), folder)
        else:
            _write(point.run(), folder)


def _write(outcome: Outcome, folder: Path) -> Outcome:
    """Write the file of an outcome, and return the outcome."""
    write_text(folder / f"{outcome.point.key}.json", outcome.model_dump_json(indent=1) + "\n")
    return outcome
