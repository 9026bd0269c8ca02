"""`align`: from sites to an alignment.

sites --record--> states --draw--> interventions --search--> maps --score on held-out interventions--> alignment
"""

import warnings
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

from causalign._progress import Listener, progress_bars, silent
from causalign._random import numpy_stream
from causalign.alignment._clock import Clock
from causalign.alignment._request import Request
from causalign.alignment.methods import Method
from causalign.alignment.result import Alignment
from causalign.errors import SearchWarning
from causalign.interchange import keep
from causalign.maps import DEFAULT
from causalign.search import Problem, Settings, search
from causalign.sites import Site

_ENDS = {"interrupted": "was interrupted", "diverged": "diverged"}


def align(
    sites: Sequence[Site] | Site,
    *,
    variable: str | Sequence[str] = "full",
    method: str | Method = "mas",
    rank: int = 16,
    map: str = DEFAULT,  # noqa: A002 (the word of the contract)
    scale: bool = True,
    start: str = "closed-form",
    seed: int = 0,
    train: int = 10_000,
    validation: int = 1_000,
    test: int = 1_000,
    settings: Settings | None = None,
    progress: bool | Listener = False,
) -> Alignment:
    """Find the maps under which the networks' states can be interchanged, and score them.

    Args:
        sites: where the networks are swapped. Their widths may differ.
        variable: what is swapped: `full`, or a variable of the task; a sequence names one for each site.
        method: `mas`, `das`, `stitch`, or a row of one's own.
        rank: the dimensions of the aligned subspace.
        map: how maps are parametrised, `gram-schmidt` or `expm`.
        scale: whether each map has a trained scalar.
        start: `closed-form` (generalised Procrustes on class means) or `random`.
        seed: of all random draws; the same seed gives the same alignment on the same machine and threads.
        train: interventions of each direction that are trained on.
        validation: interventions of each direction on which the best step is chosen.
        test: interventions of each direction that are scored.
        settings: how the search runs.
        progress: whether to draw progress bars, or who is to be told instead.

    Returns:
        The alignment. Its IIA is that of the test interventions.

    Raises:
        CausalignError: sites, variables, method, rank, or map do not fit each other; a site fails its checks.
    """
    settings = settings or Settings()
    request = Request.checked(
        sites, variable, method, rank, map, scale, start, seed, {"train": train, "validation": validation, "test": test}
    )
    clock = Clock("data", "states", "search", "evaluate")
    with _shown(progress) as listener:
        splits = request.draw(clock, listener)
        with clock("search"):
            problem = Problem(
                request.sites,
                request.method.swap,
                [request.method.objective] * len(request.sites),
                splits["train"].interventions,
                splits["validation"].interventions,
            )
            maps = request.starting_maps(splits["train"].recorded)
            found = search(problem, maps, settings, numpy_stream(seed, "batches"), listener)
        with clock("evaluate"):
            held_out = splits["test"].interventions
            scores = request.scores(found.maps, request.method.swap, held_out)
            floor = request.scores(found.maps, keep, held_out)
    if found.stopped in ("interrupted", "diverged"):
        warnings.warn(
            f"the search {_ENDS[found.stopped]} at step {found.steps}; this is its best until then",
            SearchWarning,
            stacklevel=2,
        )
    return Alignment(found.maps, request.record(found, scores, floor, clock))


def _shown(progress: bool | Listener) -> AbstractContextManager[Listener]:
    """The listener that `progress` asks for."""
    if callable(progress):
        return nullcontext(progress)
    return progress_bars() if progress else nullcontext(silent)
