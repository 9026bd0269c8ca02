"""`align`: from a counterfactual dataset to an alignment.

dataset --read--> rows --search--> maps --score on test rows--> alignment
"""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from causalign.alignment.alignment_files import MAPS, RESULT
from causalign.alignment.caveats import out_of_steps, score_caveats
from causalign.alignment.config import AlignmentConfig
from causalign.alignment.controls import control_scores, require_controllable
from causalign.alignment.fit import Splits, rank_searches
from causalign.alignment.output import open_journal, resumption
from causalign.alignment.request import Request
from causalign.alignment.result import Alignment
from causalign.alignment.row_outcomes import ROWS
from causalign.alignment.scoring import alignment_scores
from causalign.alignment.summary import Findings, final_figures, summarize
from causalign.callbacks import Callback, open_callbacks
from causalign.config_model import with_fields
from causalign.counterfactuals.dataset import Counterfactuals
from causalign.errors import InvalidArgument, OutOfMemory, SearchWarning
from causalign.files import output_folder
from causalign.journal import Journal
from causalign.readings.shared_readings import SharedReadings
from causalign.run_context import RunContext
from causalign.search.rank_selection import RankTrial
from causalign.search.search import SearchResult
from causalign.search.stop_reason import StopReason
from causalign.sites.readable import Readable
from causalign.timer import Timer


@with_fields(AlignmentConfig)
def align(
    data: Counterfactuals | Sequence[Readable] | Readable,
    config: AlignmentConfig | None = None,
    *,
    out: Path | str | None = None,
    overwrite: bool = False,
    progress: bool = False,
    callbacks: Sequence[Callback] = (),
    readings: SharedReadings | None = None,
    **fields: Any,
) -> Alignment:
    """Find the maps under which the networks' states can be interchanged, and score them on held-out rows.

    Args:
        data: A counterfactual dataset; or sites, for which one is drawn from their tasks. Widths may differ.
        config: The configuration. By default one of the fields below, which change it where both are given.
        out: The folder to save the alignment in. While it is searched, a checkpoint is written there every half minute,
            and after the step in hand when Ctrl-C or SIGTERM comes. The same call goes on from the checkpoint.
        overwrite: Whether an alignment in `out`, or the checkpoint of another one, is replaced.
        progress: Whether to show progress: as lines of HTML in a notebook, as bars in a terminal, and elsewhere as a
            line on the standard error now and then.
        callbacks: Functions that are called with a `ProgressUpdate` at every step. A `Tracker` among them also gets the
            configuration and the scores. The logger `causalign` always does.
        readings: A cache of activations on disk, which several alignments of the same networks and inputs share. By
            default every dataset reads its inputs for itself.
        **fields: The fields of `AlignmentConfig`.

    Returns:
        The alignment. Its IIA is that of the test rows.

    Warns:
        SearchWarning: The search diverged or ran out of steps; a network fails the task; or a score does not exceed the
            baseline. `Alignment.caveats` has the sentences.

    Raises:
        InvalidArgument: An argument is unknown or wrong; sites, variables, method and rank do not fit each other; or a
            site fails its checks; or `out` holds an alignment or the checkpoint of another one. All of it is checked
            before the search.
        FileFormatError: `out`, or the folder of `readings`, cannot be written, or a checkpoint is not whole.
        OutOfMemory: A batch does not fit into memory, or readings do not fit on the disk.
        KeyboardInterrupt: Ctrl-C came. With `out` it is raised after the checkpoint has been written, and says so.
    """
    folder = _folder(out, overwrite)
    chosen = config_of(config, fields)
    request = Request.checked(data, chosen)
    if chosen.controls:
        require_controllable(request)
    journal = Journal() if folder is None else open_journal(request, folder, overwrite)
    configuration = {"sites": request.names, **chosen.model_dump(mode="json")}
    with (
        open_callbacks(progress, callbacks, configuration) as (callback, conclude),
        _within_memory(chosen.search.batch_size),
        resumption(journal),
    ):
        alignment = _aligned(request, replace(request.context(Timer(), callback, readings), journal=journal))
        record = alignment.record
        conclude(final_figures(record), record.stopped.value)
    if folder is not None:
        alignment.save(folder, overwrite=True)
        journal.remove()
    if not record.stopped.complete:
        warnings.warn(
            f"the search {record.stopped.message} at step {record.steps}; this is its best until then",
            SearchWarning,
            stacklevel=2,
        )
    if unfinished := out_of_steps(record):
        warnings.warn(unfinished, SearchWarning, stacklevel=2)
    if doubts := score_caveats(record):
        warnings.warn(" ".join(doubts), SearchWarning, stacklevel=2)
    return alignment


def config_of(config: AlignmentConfig | None, fields: dict[str, Any]) -> AlignmentConfig:
    """Return the configuration with these fields changed.

    Raises:
        InvalidArgument: A field is unknown or wrong, or the configuration is something else.
    """
    if config is not None and not isinstance(config, AlignmentConfig):
        raise InvalidArgument(
            f"config is an AlignmentConfig, found {type(config).__name__}: give its fields as keyword arguments"
        )
    return AlignmentConfig(**fields) if config is None else config.replace(**fields)


def _folder(out: Path | str | None, overwrite: bool) -> Path | None:
    """Return the output folder, once it is found that it can be written."""
    if out is None and overwrite:
        raise InvalidArgument("overwrite=True replaces the alignment in out, and there is no out: out=FOLDER names it")
    return None if out is None else output_folder(Path(out), RESULT, MAPS, ROWS)


def _aligned(request: Request, context: RunContext) -> Alignment:
    """Read the rows, search, and score what was found on test rows."""
    timer = context.timer
    splits = request.rows(context)
    with timer("search"):
        found, ranks = _search(request, splits, context)
    request = replace(request, rank=request.rank.settled(found.maps[0].rank))
    with timer("evaluate"):
        scores = alignment_scores(request, found.maps, splits, context)
        accuracy = request.data.accuracy(context)
    with timer("controls"):
        wanted = request.config.controls and found.stopped.complete
        controls = tuple(control_scores(request, found.steps, context)) if wanted else ()
    findings = Findings(found, tuple(ranks), scores, controls, tuple(accuracy))
    summary = summarize(request, findings, splits, timer)
    return Alignment(found.maps, summary, scores.outcomes, request.preprocessing, request.sites)


def _search(request: Request, splits: Splits, context: RunContext) -> tuple[SearchResult, list[RankTrial]]:
    """Search at the rank, or ranks, that the configuration asks for."""
    found, ranks = request.rank.find(rank_searches(request, splits, context))
    return found if request.method.searches else replace(found, stopped=StopReason.CLOSED_FORM), ranks


@contextmanager
def _within_memory(batch_size: int) -> Iterator[None]:
    """Say in one line what does not fit into memory, and what would.

    Raises:
        OutOfMemory: It does not fit.
    """
    try:
        yield
    except OutOfMemory:  # which says itself what would fit
        raise
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, MemoryError | torch.OutOfMemoryError) and "allocate memory" not in str(error):
            raise
        raise OutOfMemory(
            f"batches of {batch_size} do not fit into memory beside the networks: batch_size = "
            f'{max(1, batch_size // 2)} takes half, and precision = "bfloat16" halves the networks; '
            "causalign estimate says how much each part takes"
        ) from None
