"""The command `reproduce`."""

from collections.abc import Sequence
from importlib.util import find_spec
from typing import Annotated

import typer
from rich.text import Text

from causalign.callbacks import progress_display
from causalign.cli.common_options import Out, WorkerCount
from causalign.cli.tables import console, errors, new_table
from causalign.cli.termination import INTERRUPTED
from causalign.errors import lookup
from causalign.reproduction.reproduce import STUDIES, TABLE
from causalign.reproduction.reproduce import reproduce as run_studies
from causalign.reproduction.study import BUDGETS, Protocol
from causalign.reproduction.table import Verdict


def reproduce(
    out: Out,
    studies: Annotated[
        list[str] | None,
        typer.Argument(metavar="[STUDY]...", help=f"The studies: {', '.join(STUDIES)}, or all. By default all."),
    ] = None,
    *,
    workers: WorkerCount = None,
    language_model: Annotated[
        str,
        typer.Option(help="A language model that does the task in words: hf:PATH, or none to leave it out."),
    ] = "zoo:in-context/llama/0",
    budget: Annotated[str, typer.Option(help=f"How long the searches run: {', '.join(BUDGETS)}.")] = "settled",
    controls: Annotated[bool, typer.Option(help="Whether to score controls for every causal score.")] = True,
) -> None:
    """Reproduce the paper's figures: a table beside the paper's numbers, verdicts, plots and a report.

    Finished comparisons are kept. Repeating the command continues after them, however it was stopped.
    """
    names = list(STUDIES) if not studies or "all" in studies else studies
    protocol = Protocol(
        controls=controls, budget=lookup("budget", budget, BUDGETS), language_model=_available(language_model)
    )
    try:
        with progress_display() as callback:
            found = run_studies(names, out, protocol, workers, callback)
    except KeyboardInterrupt:
        errors.print(f"stopped; repeat the command to go on after the comparisons in {out}", soft_wrap=True)
        raise typer.Exit(INTERRUPTED) from None
    _show(found.verdicts)
    console.print(f"\nThe table is in {out / TABLE}.\nOpen {found.page} in a browser.", soft_wrap=True)


def _available(language_model: str) -> str:
    """Return the language model, or an empty string if it is `none` or transformers is not installed."""
    if language_model in ("", "none"):
        return ""
    if find_spec("transformers") is None:
        errors.print("the language model is left out, because it needs transformers: pip install 'causalign[hf]'")
        return ""
    return language_model


def _show(verdicts: Sequence[Verdict]) -> None:
    """Print the claims of the paper, and whether they are supported."""
    table = new_table("The paper's claims", "figure", "claim", "supported")
    for verdict in verdicts:
        held = Text("yes", "green") if verdict.holds else Text("no", "red")
        reached = ", and by a control too" if verdict.holds and verdict.reached else ""
        table.add_row(verdict.figure, verdict.claim.text, held + Text(reached))
    console.print(table)
