"""The command `bench`."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from causalign.benchmarks import BENCHMARKS
from causalign.benchmarks.measurement import threads
from causalign.benchmarks.row import MissingError, Row, save_rows
from causalign.cli.tables import console, errors, new_table
from causalign.cli.termination import INTERRUPTED
from causalign.errors import SearchWarning, lookup
from causalign.files import output_folder


def bench(
    only: Annotated[
        list[str] | None, typer.Argument(help=f"The benchmarks to run: {', '.join(BENCHMARKS)}. By default all.")
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Run fewer repeats and smaller cases, which takes minutes.")
    ] = False,
    json_file: Annotated[Path | None, typer.Option("--json", help="The JSON file to write the rows to.")] = None,
    number: Annotated[int, typer.Option("--threads", min=1, help="The number of threads that torch uses.")] = 2,
) -> None:
    """Measure speed on this machine, as ratios to references that run in turn."""
    chosen = {name: lookup("benchmark", name, BENCHMARKS) for name in only or BENCHMARKS}
    if json_file is not None:
        output_folder(json_file.parent, json_file.name)
    rows: list[Row] = []
    try:
        with threads(number), warnings.catch_warnings(action="ignore", category=SearchWarning):
            for name, benchmark in chosen.items():
                errors.print(f"{name} ...")
                try:
                    rows += benchmark(quick)
                except MissingError as missing:
                    if only:
                        raise
                    errors.print(f"left out: {missing}", soft_wrap=True)
                if json_file is not None:
                    save_rows(rows, number, json_file)
    except KeyboardInterrupt:
        _show(rows, number)
        raise typer.Exit(INTERRUPTED) from None
    _show(rows, number)


def _show(rows: Sequence[Row], threads: int) -> None:
    """Print the performance table."""
    table = new_table(f"Performance, {threads} thread{'s' if threads > 1 else ''}", "measured")
    for column in ("ours", "theirs", "ratio", "goal", "IIA"):
        table.add_column(column, justify="right", no_wrap=True)
    for row in rows:
        what = f"{row.benchmark}: {row.case} [{row.unit}]\nreference: {row.rival}" + (
            f"\n{row.note}" if row.note else ""
        )
        figures = (f"{row.ours:.4g}", f"{row.theirs:.4g}", _ratio(row.ratio, row.reads))
        goal = "" if row.goal is None else _ratio(row.goal, row.reads)
        table.add_row(Text(what), *figures, goal, "" if row.worst_iia is None else f"{row.worst_iia:.3f}")
    console.print(table)


def _ratio(ratio: float, reads: str) -> str:
    return f"{ratio:.0%}" if reads == "share" else f"{ratio:.3g}x"
