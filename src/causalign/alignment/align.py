"""`align`: from a counterfactual dataset to an alignment.

dataset --read--> rows --search--> maps --score on test rows--> alignment
"""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch

from causalign.alignment.caveats import score_caveats
from causalign.alignment.config import AlignmentConfig
from causalign.alignment.controls import control_scores, require_controllable
from causalign.alignment.fit import Splits, rank_searches
from causalign.alignment.request import Request
from causalign.alignment.result import Alignment
from causalign.alignment.scoring import alignment_scores
from causalign.alignment.summary import Findings, summarize
from causalign.callbacks import Callback, chain
from causalign.config_model import with_fields
from causalign.counterfactuals.dataset import Counterfactuals
from causalign.errors import InvalidArgument, OutOfMemory, SearchWarning
from causalign.progress import progress_bars
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
    progress: bool = False,
    callbacks: Sequence[Callback] = (),
    readings: SharedReadings | None = None,
    **fields: Any,
) -> Alignment:
    """Find the maps under which the networks' states can be interchanged, and score them on held-out rows.

    Args:
        data: A counterfactual dataset; or sites, for which one is drawn from their tasks. Widths may differ.
        config: The configuration. By default one of the fields below, which change it where both are given.
        progress: Whether to draw progress bars.
        callbacks: Functions that are told of every step: each is called with a `ProgressUpdate`.
        readings: A cache of activations on disk, which several alignments of the same networks and inputs share. By
            default every dataset reads its inputs for itself.
        **fields: The fields of `AlignmentConfig`.

    Returns:
        The alignment. Its IIA is that of the test rows.

    Warns:
        SearchWarning: The search was interrupted or diverged; a network fails the task; or a score does not exceed the
            baseline. `Alignment.caveats` has the sentences.

    Raises:
        InvalidArgument: An argument is unknown or wrong; sites, variables, method and rank do not fit each other; or a
            site fails its checks. All of it is checked before the search.
        OutOfMemory: A batch does not fit into memory, or readings do not fit on the disk.
        FileFormatError: The folder of `readings` cannot be written.
    """
    chosen = config_of(config, fields)
    request = Request.checked(data, chosen)
    if chosen.controls:
        require_controllable(request)
    timer = Timer()
    with open_callbacks(progress, callbacks) as callback, _within_memory(chosen.search.batch_size):
        context = request.context(timer, callback, readings)
        splits = request.rows(context)
        with timer("search"):
            found, ranks = _search(request, splits, context)
        request = replace(request, rank=request.rank.settled(found.maps[0].rank))
        with timer("evaluate"):
            scores = alignment_scores(request, found.maps, splits)
            accuracy = request.data.accuracy(context)
        with timer("controls"):
            wanted = chosen.controls and found.stopped.complete
            controls = tuple(control_scores(request, found.steps, context)) if wanted else ()
    if not found.stopped.complete:
        warnings.warn(
            f"the search {found.stopped.message} at step {found.steps}; this is its best until then",
            SearchWarning,
            stacklevel=2,
        )
    findings = Findings(found, tuple(ranks), scores, controls, tuple(accuracy))
    summary = summarize(request, findings, splits, timer)
    if doubts := score_caveats(summary):
        warnings.warn(" ".join(doubts), SearchWarning, stacklevel=2)
    return Alignment(found.maps, summary, scores.outcomes, request.preprocessing, request.sites)


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


def _search(request: Request, splits: Splits, context: RunContext) -> tuple[SearchResult, list[RankTrial]]:
    """Search at the rank, or ranks, that the configuration asks for."""
    found, ranks = request.rank.find(rank_searches(request, splits, context))
    return found if request.method.searches else replace(found, stopped=StopReason.CLOSED_FORM), ranks


@contextmanager
def open_callbacks(progress: bool, callbacks: Sequence[Callback]) -> Iterator[Callback]:
    """One callback that tells all of them, and draws progress bars if asked to."""
    if callable(callbacks):
        raise InvalidArgument("callbacks is a list of functions, found a function: give it as callbacks=[function]")
    if progress:
        with progress_bars() as bars:
            yield chain([bars, *callbacks])
    else:
        yield chain(callbacks)


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
