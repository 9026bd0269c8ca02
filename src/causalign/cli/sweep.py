"""The command `sweep`."""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import typer
from rich.table import Table

from causalign.alignment.spec import override, read_spec
from causalign.cli.common_options import WorkerCount
from causalign.cli.options import overrides, value_of, with_options
from causalign.cli.tables import console, errors
from causalign.cli.termination import exit_code, termination
from causalign.cli.track_option import Track, trackers
from causalign.cli.worker_options import WorkerOptions
from causalign.errors import InvalidArgument, SearchWarning
from causalign.sweep.folder import TABLE, Shard
from causalign.sweep.heatmap import axis_labels, axis_title
from causalign.sweep.result import Sweep
from causalign.sweep.sweep import sweep as run_sweep
from causalign.sweep.table import FAILED, FINISHED

GRID = "grid"
SOME_FAILED = 3
_COLUMNS = {
    "iia": "IIA",
    "no_swap": "no swap",
    "complement": "complement",
    "control_untrained": "untrained",
    "latent_distance": "latent distance",
}


@with_options
def sweep(
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder of the sweep.")],
    *,
    spec: Annotated[
        Path | None,
        typer.Option(help="A TOML or JSON file with these fields and a table [grid] of axes. Options replace them."),
    ] = None,
    grid: Annotated[
        list[str] | None,
        typer.Option(help="An axis and its values: rank=8,16 or seed=0,1. Repeat the option for each axis."),
    ] = None,
    workers: WorkerCount = None,
    shard: Annotated[
        str | None,
        typer.Option(help="Run only a part of the points, such as 1/4. The command without it gathers the parts."),
    ] = None,
    ray: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Run the points on a Ray cluster: HOST:PORT, or auto for this machine's."),
    ] = None,
    slurm: Annotated[
        str | None,
        typer.Option(
            metavar="OPTIONS",
            help="Submit the points as jobs of SLURM: partition=gpu,timeout_min=240,memory_gb=16, or '' for defaults.",
        ),
    ] = None,
    cpus_per_point: Annotated[
        int | None, typer.Option(min=1, help="Processors, and threads, of a point on Ray or SLURM. [default: 1]")
    ] = None,
    gpus_per_point: Annotated[
        float | None, typer.Option(min=0, help="GPUs of a point on Ray or SLURM. [default: 0]")
    ] = None,
    track: Track = None,
    **options: Any,
) -> None:
    """Align over a grid: a table, heat maps and a report of every layer against every layer, over ranks, seeds, ...

    Sites may have patterns: hf:PATH@layer.*, zoo:multi-object/gru/*@hidden. Finished points are kept. Repeating the
    command goes on after them, however it was stopped.
    """
    base = {} if spec is None else read_spec(spec)
    axes = base.pop(GRID, {})
    if not isinstance(axes, Mapping):
        raise InvalidArgument(f"[grid] of {spec} is a table of axes, found {axes!r}")
    axes = {**axes, **dict(map(_axis, grid or ()))}
    present = {name: value for name, value in options.items() if value is not None}
    fields = override(base, overrides(present))
    executor = WorkerOptions(workers, shard, ray, slurm).executor(cpus_per_point, gpus_per_point)
    try:
        with termination(), warnings.catch_warnings(action="ignore", category=SearchWarning):  # failures are printed
            found = run_sweep(
                fields,
                axes,
                out=out,
                workers=workers,
                executor=executor,
                shard=shard,
                pages=True,
                progress=True,
                callbacks=trackers(track),
            )
            _conclude(found, shard)
    except KeyboardInterrupt as error:
        errors.print(f"stopped; repeat the command to go on after the points in {out}", soft_wrap=True)
        raise typer.Exit(exit_code(error)) from None


def _axis(text: str) -> tuple[str, list[Any]]:
    """Return the axis and the values of `AXIS=VALUE,VALUE,...`."""
    axis, equals, values = text.partition("=")
    if not equals or not axis:
        raise InvalidArgument(f"an axis is written AXIS=VALUE,VALUE, such as rank=8,16, found {text!r}")
    listed = value_of(f"[{values}]")
    return axis.strip(), listed if isinstance(listed, list) else [value_of(each.strip()) for each in values.split(",")]


def _conclude(found: Sweep, shard: str | None) -> None:
    """Show the sweep, write its page, and exit with an error code if points failed."""
    if shard is None:
        _show(found)
        page = found.report()
        console.print(f"\nThe table is in {found.folder.path / TABLE}.\nOpen {page} in a browser.", soft_wrap=True)
    mine = found if shard is None else Sweep(found.folder, _part(found, shard))
    failures = mine.failures
    if shard is not None:
        console.print(f"Shard {shard}: {mine!r}", soft_wrap=True)
    if len(failures):
        errors.print(
            f"{len(failures):,} of {len(mine.points):,} points failed, the first with: {failures['error'].iloc[0]}",
            soft_wrap=True,
        )
        raise typer.Exit(SOME_FAILED)


def _part(found: Sweep, shard: str) -> dict[str, Mapping[str, Any]]:
    return {key: found.points[key] for key in Shard.parse(shard).of(list(found.points))}


def _show(found: Sweep) -> None:
    """Print the worst direction of every point."""
    table = Table(title="IIA of the worst direction", title_justify="left", title_style="bold")
    worst = found.worst
    labels = [axis_labels(worst[axis].tolist()) for axis in found.axes]
    for axis, values in zip(found.axes, labels, strict=True):
        table.add_column(axis_title(axis, worst[axis].tolist()) if values else axis, overflow="fold")
    shown = [name for name in _COLUMNS if worst[name].notna().any()]
    for name in shown:
        table.add_column(_COLUMNS[name], justify="right")
    table.add_column("ended")
    for index, row in enumerate(worst.to_dict("records")):
        scores = ["" if pd.isna(row[name]) else f"{row[name]:.3f}" for name in shown]
        ended = (
            row["error"] if row["status"] == FAILED else row["ended"] if row["status"] == FINISHED else row["status"]
        )
        table.add_row(*(values[index] for values in labels), *scores, str(ended))
    console.print(table)
