"""`align`: from sites to an alignment.

sites --record--> states --draw--> interventions --search--> maps --score on held-out interventions--> alignment
"""

import inspect
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from typing import Any

import torch

from causalign.alignment.controls import control_scores, require_controllable
from causalign.alignment.fit import new_search, run_search
from causalign.alignment.methods import Method
from causalign.alignment.request import AUTO, Request
from causalign.alignment.result import Alignment
from causalign.alignment.schema import ControlScore, RankTrial
from causalign.alignment.scoring import scored
from causalign.alignment.summary import record
from causalign.callbacks import Callback, silent
from causalign.errors import CausalignError, SearchWarning, lookup
from causalign.maps import DEFAULT
from causalign.maps.base import AlignmentMap
from causalign.planning.estimate import Estimate, planned
from causalign.progress import progress_bars
from causalign.search.config import SearchConfig
from causalign.search.rank_selection import best_rank, smallest_rank
from causalign.search.search import Search, SearchResult
from causalign.sites.readable import Readable
from causalign.storage import DEFAULT_BUDGET
from causalign.tasks.variable import Variable
from causalign.timer import Timer

_ENDS = {"interrupted": "was interrupted", "diverged": "diverged"}


def align(
    sites: Sequence[Readable] | Readable,
    *,
    variable: str | Variable | Sequence[str | Variable] = "full",
    method: str | Method = "mas",
    rank: int | str | Sequence[int] = 16,
    map: str = DEFAULT,  # noqa: A002 (the word of the contract)
    scale: bool = True,
    start: str = "closed-form",
    inaccessible: int | None = None,
    eps: float | None = None,
    tolerance: float = 0.01,
    controls: bool = False,
    seed: int = 0,
    train: int = 10_000,
    validation: int = 1_000,
    test: int = 1_000,
    interventions: Mapping[str, Any] | None = None,
    settings: SearchConfig | None = None,
    memory: float = DEFAULT_BUDGET,
    progress: bool | Callback = False,
) -> Alignment:
    """Find the maps under which the networks' states can be interchanged, and score them.

    Args:
        sites: where the networks are swapped. Their widths may differ.
        variable: what is swapped: `full`, or a variable of the task, `count`, or some of its values, `count[1..10]`; a
            sequence names one for each site.
        method: a row of `METHODS` by its name (`mas`, `das`, `stitch`, `clmas`, ...), or one of one's own.
        rank: the dimensions of the aligned subspace. Of several, `[16, 32]`, the best on validation is taken, as it
            shows after some steps (`Settings.trial`); `auto` finds the least that is within `tolerance` of the best.
        map: how maps are parametrised: `gram-schmidt`, `expm`, `cayley` or `householder`.
        scale: whether each map has a trained scalar.
        start: `closed-form` (generalised Procrustes on class means), `paired` (on the states of the same trials) or
            `random`. A method that is nothing but its start has its own.
        inaccessible: for `clmas`, the index of the site whose network is read, but not run before the maps are found;
            by default the last.
        eps: for `clmas`, the weight of the latent objective (equation 9); by default 100.
        tolerance: for `rank="auto"`, how much lower than at the best rank the worst IIA may be, on validation.
        controls: whether to score, beside the alignment, the same search with the first network untrained, with the
            continuations shuffled, and a random start that is left as it is; two more searches, of as many steps.
        seed: of all random draws; the same seed gives the same alignment on the same machine and threads.
        train: interventions of each direction that are trained on.
        validation: interventions of each direction on which the best step is chosen.
        test: interventions of each direction that are scored.
        interventions: one's own (`Interventions.from_arrays`) in place of drawn ones: `{"train": {(0, 1): ..., ...},
            "validation": ..., "test": ...}`, those of each direction, sites by their index. As it is not known what
            states stand for, the start is `random`.
        settings: how the search runs.
        memory: GiB that recorded states and interventions may take; what is beyond lies in temporary files.
        progress: whether to draw progress bars, or who is to be told instead.

    Returns:
        The alignment. Its IIA is that of the test interventions.

    Raises:
        CausalignError: sites, variables, method, rank, or map do not fit each other; a site fails its checks.
    """
    counts = {"train": train, "validation": validation, "test": test}
    wanted = (sites, variable, method, rank, map, scale, start, inaccessible, eps, seed)
    request = Request.checked(*wanted, counts, memory, interventions)
    settings = _fitting(settings, request, rank, tolerance)
    if controls:
        require_controllable(request)
    clock = Timer("data", "states", "search", "evaluate", "controls")
    with _shown(progress) as listener, _within_memory(settings.batch):
        splits = request.draw(clock, listener)
        with clock("search"):
            recorded, ranks = splits["train"].recorded, list[RankTrial]()

            def begin(maps: Sequence[AlignmentMap]) -> Search:
                return new_search(request, splits, maps, settings)

            def find(maps: Sequence[AlignmentMap]) -> SearchResult:
                return run_search(request, splits, maps, settings, listener)

            if rank == AUTO:
                found, ranks = smallest_rank(find, request.starting_maps(recorded), request.means(recorded), tolerance)
            elif len(request.ranks) > 1:
                starts = [replace(request, ranks=(each,)).starting_maps(recorded) for each in request.ranks]
                found, ranks = best_rank(begin, starts, settings, listener)
            else:
                found = find(request.starting_maps(recorded))
            request = replace(request, ranks=(found.maps[0].rank,))
            if not request.method.searches:
                found = replace(found, stopped="closed-form")
        with clock("evaluate"):
            scores = scored(request, found.maps, splits)
        with clock("controls"):
            asked = controls and found.stopped not in _ENDS
            beside = tuple(control_scores(request, splits, settings, found.steps, listener)) if asked else ()
    if found.stopped in ("interrupted", "diverged"):
        warnings.warn(
            f"the search {_ENDS[found.stopped]} at step {found.steps}; this is its best until then",
            SearchWarning,
            stacklevel=2,
        )
    written = record(request, found, ranks, tolerance if rank == AUTO else None, splits, scores, beside, clock)
    return Alignment(found.maps, written, request.preprocessing)


def plan(sites: Sequence[Readable] | Readable, **arguments: Any) -> Estimate:
    """What `align` with the same arguments will take: operations, memory, disk and seconds.

    A few trials and small batches are tried; nothing of the size that is asked for is held.

    Raises:
        CausalignError: as `align`.
    """
    request, settings, _ = _asked(sites, arguments)
    return planned(request, settings, arguments.get("controls", False))


def controls_of(sites: Sequence[Readable] | Readable, steps: int, **arguments: Any) -> tuple[ControlScore, ...]:
    """The controls of an alignment with these arguments whose search took so many steps.

    Raises:
        CausalignError: as `align`.
    """
    request, settings, progress = _asked(sites, arguments)
    with _shown(progress) as listener:
        splits = request.draw(Timer("data", "states"), listener)
        return tuple(control_scores(request, splits, settings, steps, listener))


def _asked(
    sites: Sequence[Readable] | Readable, arguments: dict[str, Any]
) -> tuple[Request, SearchConfig, bool | Callback]:
    """The request, settings and progress of a call of `align` with these arguments."""
    asked = inspect.signature(align).bind(sites, **arguments)
    asked.apply_defaults()
    given = asked.arguments
    if given["interventions"] is not None:
        raise CausalignError("only interventions that are drawn can be planned, or controlled: leave out interventions")
    counts = {split: given[split] for split in ("train", "validation", "test")}
    order = ("variable", "method", "rank", "map", "scale", "start", "inaccessible", "eps", "seed")
    request = Request.checked(sites, *(given[name] for name in order), counts, given["memory"])  # type: ignore[call-arg]
    settings = _fitting(given["settings"], request, given["rank"], given["tolerance"])
    return request, settings, given["progress"]


def _fitting(
    settings: SearchConfig | None, request: Request, rank: int | str | Sequence[int], tolerance: float
) -> SearchConfig:
    """The settings, once it is checked that they fit the rest."""
    settings = SearchConfig() if settings is None else settings
    if not isinstance(settings, SearchConfig):
        raise CausalignError(f"settings are given as Settings(most_steps=...), found {type(settings).__name__}")
    if not 0 <= tolerance <= 1:
        raise CausalignError(f"tolerance is a share from 0 to 1, found {tolerance}")
    if settings.optimizer is not None:
        lookup(
            f"optimiser of {request.parametrization.name}", settings.optimizer, request.parametrization.learning_rates
        )
    if settings.enough is not None:
        if rank == AUTO:
            raise CausalignError('rank="auto" compares how good ranks can be; leave out enough')
        if any(objective.uses_latents for objective in request.objectives.values()):
            raise CausalignError(f"{request.method.name} goes by latents in its search, so that no IIA can be enough")
    return settings if request.method.searches else replace(settings, most_steps=0)


def _shown(progress: bool | Callback) -> AbstractContextManager[Callback]:
    """The listener that `progress` asks for."""
    if callable(progress):
        return nullcontext(progress)
    return progress_bars() if progress else nullcontext(silent)


@contextmanager
def _within_memory(batch: int) -> Iterator[None]:
    """What does not fit into memory is said in a line, with what would.

    Raises:
        CausalignError: it does not.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, MemoryError | torch.OutOfMemoryError) and "allocate memory" not in str(error):
            raise
        raise CausalignError(
            f"batches of {batch} do not fit into memory beside the networks: batch = {max(1, batch // 2)} takes half, "
            'and precision = "bfloat16" halves the networks; causalign plan says how much each part takes'
        ) from None
