"""Comparisons run by workers. Each finished one is a file, written whole: whatever is killed goes on from there.

comparisons --those without a file--> workers --a file each--> outcomes
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
    """How many cores this process may use: where a scheduler shares the machine out, those that it was given."""
    if hasattr(os, "sched_getaffinity"):  # Linux
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def run_all(
    comparisons: Sequence[Comparison], folder: Path, workers: int, callback: Callback = silent
) -> dict[str, Outcome]:
    """The outcome of every comparison, by its key; those that have a file in `folder` are not run again.

    Each worker has its share of the processor's threads. Ctrl-C, and an error in one, keep what is finished.

    Raises:
        InvalidArgument: a comparison cannot be run, or a worker was killed.
    """
    output_folder(folder)
    asked = {comparison.key: comparison for comparison in comparisons}
    outcomes = {key: found for key in asked if (found := _finished(folder, key)) is not None}
    callback(ProgressUpdate("comparisons", len(outcomes), len(asked)))
    left = {key: comparison for key, comparison in asked.items() if key not in outcomes}
    for key in _run(left, folder, workers):
        found = _finished(folder, key)
        assert found is not None  # it has just been written
        outcomes[key] = found
        callback(ProgressUpdate("comparisons", len(outcomes), len(asked)))
    return outcomes


def _finished(folder: Path, key: str) -> Outcome | None:
    """What a file says; none where there is none, or it is of no use."""
    try:
        return _OUTCOME.validate_json((folder / f"{key}.json").read_bytes())
    except (OSError, ValidationError):
        return None


def _run(left: dict[str, Comparison], folder: Path, workers: int) -> Iterator[str]:
    """The keys of comparisons, as each is finished."""
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
                        f"a worker was killed, for want of memory as a rule; what is finished is in {folder}: "
                        "the same command goes on, with fewer --workers"
                    ) from None
                yield waiting.pop(future)


@contextmanager
def _pool(workers: int, share: int) -> Iterator[ProcessPoolExecutor]:
    """Fresh processes with so many threads each; libraries other than torch learn it from their environment."""
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
    """A worker takes its threads, and ends when the process that began it has ended, however that came about."""
    torch.set_num_threads(share)
    parent = multiprocessing.parent_process()
    if parent is not None:

        def end_with_parent() -> None:
            parent.join()
            os._exit(1)

        threading.Thread(target=end_with_parent, daemon=True).start()


def _work(comparison: str, folder: Path) -> None:
    """Run one. What it is without its controls has a file of its own, from which they go on."""
    asked = _COMPARISON.validate_json(comparison)
    with warnings.catch_warnings(action="ignore", category=SearchWarning):
        if isinstance(asked, AlignmentPoint) and asked.spec.controls:
            found = _finished(folder, asked.alone.key) or _written(asked.alone.run(), folder)
            assert isinstance(found, AlignmentOutcome)  # as its key says
            _written(asked.beside(found), folder)
        else:
            _written(asked.run(), folder)


def _written(outcome: Outcome, folder: Path) -> Outcome:
    write_text(folder / f"{outcome.asked.key}.json", outcome.model_dump_json(indent=1) + "\n")
    return outcome
