"""Comparisons of a fixed list, such as those of a study, run by the engine of sweeps."""

from collections.abc import Sequence

from causalign.callbacks import Callback, silent
from causalign.errors import InvalidArgument
from causalign.sweep.folder import Shard, SweepFolder
from causalign.sweep.point import Outcome, Point
from causalign.sweep.run import run_points
from causalign.sweep.workers import Processes, Serial


def run_comparisons(
    comparisons: Sequence[Point], folder: SweepFolder, workers: int, callback: Callback = silent
) -> dict[str, Outcome]:
    """Run every comparison that was not finished in the folder before, and return all outcomes by key.

    Args:
        comparisons: The comparisons. Those with the same key are run once.
        folder: The folder of their results.
        workers: The number of processes. With 1, the comparisons are run in this process.
        callback: A function that is called after every comparison.

    Raises:
        InvalidArgument: Comparisons failed, or another process is at work in the folder. Finished ones are kept.
        FileFormatError: The folder cannot be written.
    """
    by_key = {comparison.key: comparison for comparison in comparisons}
    count = min(workers, len(by_key))
    with folder.create().locked(Shard()):
        run_points(by_key, folder, Serial() if count <= 1 else Processes(count), callback)
    outcomes = {key: outcome for key in by_key if (outcome := folder.outcome(key)) is not None}
    failures = [failure for key in by_key if key not in outcomes and (failure := folder.failure(key)) is not None]
    if failures:
        raise InvalidArgument(
            f"{len(failures)} of {len(by_key)} comparisons failed, the first with: {failures[0].message}"
        )
    return outcomes
