"""`sweep`: many alignments over a grid, in one call.

base, grid --expand--> points --workers--> finished folders --> Sweep: table, heat maps, report
"""

import warnings
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

from causalign.alignment.config import AlignmentConfig
from causalign.callbacks import Callback, open_callbacks
from causalign.config_model import with_fields
from causalign.errors import InvalidArgument, SearchWarning
from causalign.files import write_text
from causalign.sweep.declaration import declare
from causalign.sweep.definition import Base, SweepDefinition, define
from causalign.sweep.folder import READINGS, TABLE, Shard, SweepFolder
from causalign.sweep.point import SharedCache
from causalign.sweep.processes import process_context
from causalign.sweep.result import Sweep
from causalign.sweep.run import run_points
from causalign.sweep.workers import Processes, Serial, Supplied, Workers, cores


@with_fields(AlignmentConfig)
def sweep(
    base: Base,
    grid: Mapping[str, Sequence[Any]] | None = None,
    *,
    out: Path | str,
    workers: int | None = None,
    executor: Executor | Workers | None = None,
    shard: str | None = None,
    pages: bool = False,
    progress: bool = False,
    callbacks: Sequence[Callback] = (),
    **fields: Any,
) -> Sweep:
    """Align over a grid: every layer of one network with every layer of another, over ranks, seeds, methods and data.

    A point that was finished in `out` before is not run again, so that the same call goes on after it was stopped. A
    point that fails is written down with its error, and the others go on.

    Args:
        base: What all points share. References to sites, which may have patterns: `["hf:PATH@layer.*",
            "zoo:multi-object/gru/*@hidden"]`; a spec; or a dataset, or sites, that exist in this process.
        grid: The values of each axis by the field of the configuration: `rank`, `seed`, `method`, `search.max_steps`,
            `data.table`, ... The axes `site_1`, `site_2` and so on have sites, and `sites` has lists of them.
        out: The folder of the sweep.
        workers: The number of processes. By default one for each core, or this process for a dataset or sites that
            exist in it. With more than one, a script in which a method or a task is defined must call this function
            under `if __name__ == "__main__":`, because the processes import it.
        executor: What runs the points in place of processes: `RayWorkers()`, `SlurmWorkers()`, or any executor of
            `concurrent.futures`.
        shard: A part of the points, such as `"1/4"`, for array jobs. A call without it gathers them.
        pages: Whether the page of every point is drawn by the worker that runs it. Otherwise `Sweep.report` draws them
            all, one after another.
        progress: Whether to show progress.
        callbacks: Functions that are called after every point. A `Tracker` also gets the declaration of the sweep, and
            the numbers of finished and failed points.
        **fields: The fields of `AlignmentConfig`.

    Returns:
        The sweep. `Sweep.failures` has the points that failed.

    Raises:
        InvalidArgument: A field or an axis is unknown or wrong, a pattern matches nothing, the folder has another
            sweep, or another process is at work in it.
        MissingDependency: The package of the executor is not installed.
        FileFormatError: The folder cannot be written.
    """
    part = Shard() if shard is None else Shard.parse(shard)
    own = executor.checked() if isinstance(executor, Workers) else executor  # before networks are opened
    definition = define(base, grid or {}, fields)
    chosen = _workers(workers, own, definition)
    folder = SweepFolder(out).create()
    declaration = definition.declaration
    configuration = {"base": declaration.base, "axes": declaration.axes}
    with folder.locked(part), open_callbacks(progress, callbacks, configuration) as (callback, conclude):
        declare(folder, declaration)
        keys = part.of(list(definition.points))
        readings = (folder.path / READINGS).absolute()
        cache = SharedCache(readings, definition.references) if definition.shares_inputs else None
        run_points({key: definition.points[key] for key in keys}, folder, chosen, callback, cache=cache, pages=pages)
        found = Sweep(folder, declaration.points)
        if part.count == 1:
            write_text(folder.path / TABLE, found.table.to_csv(index=False))
        _warn_of_failures(found)
        mine = found if part.count == 1 else Sweep(folder, {key: declaration.points[key] for key in keys})
        conclude({f"{status} points": float(count) for status, count in mine.counts.items()}, "finished")
    return found


def _warn_of_failures(found: Sweep) -> None:
    """Say how many points failed, and why the first did."""
    failures = found.failures
    if len(failures):
        warnings.warn(
            f"{len(failures):,} of {len(found.points):,} points failed; the first: {failures['error'].iloc[0]} "
            "(Sweep.failures has all)",
            SearchWarning,
            stacklevel=3,
        )


def _workers(workers: int | None, executor: Executor | Workers | None, definition: SweepDefinition) -> Workers:
    if workers is not None and executor is not None:
        raise InvalidArgument("workers and executor are both given: leave one out")
    if workers is not None and workers < 1:
        raise InvalidArgument(f"workers is at least 1, found {workers}")
    if isinstance(executor, Workers):
        return executor
    if executor is not None:
        if not isinstance(executor, Executor):
            raise InvalidArgument(f"executor is one of concurrent.futures, found {type(executor).__name__}")
        return Supplied(executor)
    if definition.live and workers not in (None, 1):
        raise InvalidArgument(
            "a dataset or sites that exist in this process are not sent to others: leave workers out, name the sites "
            "by reference, or supply an executor"
        )
    count = min(workers or (1 if definition.live else cores()), len(definition.points))
    return Serial() if count == 1 else Processes(count, process_context(definition.points))
