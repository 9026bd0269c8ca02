"""The command `validate`."""

from dataclasses import replace
from typing import Annotated

import pandas as pd
import typer
from rich.table import Table

from causalign.callbacks import progress_display
from causalign.cli.common_options import Out, WorkerCount
from causalign.cli.tables import console, errors
from causalign.cli.termination import INTERRUPTED
from causalign.validation.page import PAGE
from causalign.validation.problems.registry import PROBLEMS
from causalign.validation.protocol import Protocol
from causalign.validation.validate import validate as run_validation

_QUICK = {"pairs": 2, "varied_pairs": 0, "networks": ("multi-object/gru/0",), "latent_weights": (0.0, 1.0)}


def validate(
    out: Out,
    problems: Annotated[
        list[str] | None,
        typer.Argument(metavar="[PROBLEM]...", help=f"The problems: {', '.join(PROBLEMS)}. By default all."),
    ] = None,
    *,
    workers: WorkerCount = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Draw two pairs of each relation, which takes minutes.")
    ] = False,
) -> None:
    """Run problems with known answers, and measure how often the verdict on a score is wrong.

    Finished points are kept. Repeating the command continues after them, however it was stopped.
    """
    protocol = Protocol(**(_QUICK if quick else {}))  # type: ignore[arg-type]
    if problems:
        protocol = replace(protocol, names=tuple(dict.fromkeys(problems)))
    try:
        with progress_display() as callback:
            found = run_validation(out, protocol, workers, callback)
    except KeyboardInterrupt:
        errors.print(f"stopped; repeat the command to go on after the points in {out}", soft_wrap=True)
        raise typer.Exit(INTERRUPTED) from None
    _show(found.problems)
    known = found.known
    console.print(
        f"Of pairs that cannot be interchanged, {known.false_yes} were called interchangeable; of pairs that can, "
        f"{known.false_no} were called not interchangeable.",
        soft_wrap=True,
    )
    console.print(f"\nThe tables and the figure are in {out}.\nThe page is {out / PAGE}.", soft_wrap=True)


def _show(problems: pd.DataFrame) -> None:
    """Print the problems with their answers."""
    right = int((problems["outcome"] == "right").sum())
    table = Table(title=f"{right} of {len(problems)} known answers are right")
    for name in ("problem", "known", "verdict"):
        table.add_column(name)
    for name in ("IIA", "angle"):
        table.add_column(name, justify="right")
    for row in problems.to_dict("records"):
        angle = "" if pd.isna(row["largest_angle"]) else f"{row['largest_angle']:.1f}°"
        style = {"wrong": "bold red", "undecided": "yellow"}.get(row["outcome"])
        table.add_row(row["problem"], row["known"], row["verdict"], f"{row['worst_iia']:.3f}", angle, style=style)
    console.print(table)
