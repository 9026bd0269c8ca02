"""The steps of every command that aligns.

spec --open--> sites, dataset --align--> saved alignment --compare--> saved similarity --report--> page
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import typer

from causalign.alignment.align import align
from causalign.alignment.alignment_files import MAPS, RESULT
from causalign.alignment.output import CHECKPOINT
from causalign.alignment.result import Alignment
from causalign.alignment.row_outcomes import ROWS
from causalign.alignment.spec import AlignmentSpec
from causalign.callbacks import Callback, ProgressUpdate
from causalign.cli.tables import errors
from causalign.cli.termination import exit_code, termination
from causalign.errors import SearchWarning
from causalign.files import output_folder
from causalign.journal import place
from causalign.report.page import FIGURES, PAGE, SIMILARITY, save_similarity, write_report
from causalign.scoring.comparison import compare
from causalign.search.stop_reason import StopReason
from causalign.sites.readable import Readable


@dataclass(frozen=True)
class AlignmentRun:
    """What a command that aligns has found and written.

    Attributes:
        alignment: The alignment.
        similarity: The correlational measures of its two sites. `None` if they cannot be compared.
        page: The path of the page.
    """

    alignment: Alignment
    similarity: pd.DataFrame | None
    page: Path


def run_alignment(spec: AlignmentSpec, out: Path, overwrite: bool, followers: Sequence[Callback] = ()) -> AlignmentRun:
    """Align, save, compare and report. A search that was stopped goes on where it was.

    Args:
        spec: What to align.
        out: The folder to write to.
        overwrite: Whether an alignment in the folder is replaced.
        followers: More callbacks of the search.

    Raises:
        typer.Exit: The run was interrupted. What is saved, and how to go on, has been said.
        CausalignError: See `align`.
    """
    output_folder(out, RESULT, MAPS, ROWS, SIMILARITY, PAGE, *FIGURES)
    saved = False
    try:
        with termination():
            sites = spec.open_sites()
            data = spec.dataset(sites)
            callbacks = [_resumption(out), *followers]
            with warnings.catch_warnings(action="ignore", category=SearchWarning):
                alignment = align(data, spec.config, out=out, overwrite=overwrite, progress=True, callbacks=callbacks)
            saved = True
            similarity = _similarity(sites, spec.seed, out)
            return AlignmentRun(alignment, similarity, write_report(out))
    except KeyboardInterrupt as error:
        errors.print(_interruption(out, saved), soft_wrap=True)
        raise typer.Exit(exit_code(error)) from None


def require_complete(alignment: Alignment) -> None:
    """Exit with an error code and a message if the search diverged."""
    record = alignment.record
    if record.stopped == StopReason.DIVERGED:
        errors.print(f"the search {record.stopped.message} (step {record.steps})")
        raise typer.Exit(1)


def _resumption(out: Path) -> Callback:
    """Return a callback that says at its first call, before a search, where the searches go on."""
    first = True

    def say(_: ProgressUpdate) -> None:
        nonlocal first
        if first and (at := place(out / CHECKPOINT)) is not None:
            errors.print(f"going on from {at}, with the checkpoint in {out}", soft_wrap=True)
        first = False

    return say


def _interruption(out: Path, saved: bool) -> str:
    """Return what to say of a command that was ended: what is there, and how to go on."""
    if saved:
        return f"interrupted; maps and scores are in {out}: causalign report {out} draws the report"
    at = place(out / CHECKPOINT)
    return "interrupted; nothing was saved" if at is None else f"interrupted at {at}: repeat the command to go on"


def _similarity(sites: Sequence[Readable], seed: int, out: Path) -> pd.DataFrame | None:
    """Return and save the correlational measures, if there are two sites and they can read the same trials."""
    if len(sites) == 2 and sites[0].task.name == sites[1].task.name:
        similarity = compare(sites[0], sites[1], seed=seed)
        save_similarity(similarity, out)
        return similarity
    for earlier in (SIMILARITY, "similarity.png"):
        (out / earlier).unlink(missing_ok=True)
    return None
