"""`align`: from a counterfactual dataset to an alignment.

dataset --read--> rows --search--> maps --score on test rows--> alignment
"""

import inspect
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from typing import Any

import torch

from causalign.alignment.controls import control_scores, require_controllable
from causalign.alignment.fit import Splits, new_search, run_search
from causalign.alignment.methods import Method
from causalign.alignment.request import AUTO, Request
from causalign.alignment.result import Alignment
from causalign.alignment.schema import ControlScore
from causalign.alignment.scoring import scored
from causalign.alignment.summary import record
from causalign.callbacks import Callback, silent
from causalign.counterfactuals.dataset import Counterfactuals
from causalign.errors import InvalidArgument, OutOfMemory, SearchWarning, lookup
from causalign.maps import DEFAULT
from causalign.maps.base import AlignmentMap
from causalign.progress import progress_bars
from causalign.run_context import RunContext
from causalign.search.config import SearchConfig
from causalign.search.rank_selection import RankTrial, best_rank, smallest_rank
from causalign.search.search import Search, SearchResult
from causalign.sites.readable import Readable
from causalign.storage import DEFAULT_BUDGET
from causalign.tasks.variable import Variable
from causalign.timer import Timer

_ENDS = {"interrupted": "was interrupted", "diverged": "diverged"}


def align(
    data: Counterfactuals | Sequence[Readable] | Readable,
    *,
    variable: str | Variable | Sequence[str | Variable] = "full",
    method: str | Method = "mas",
    rank: int | str | Sequence[int] = 16,
    map: str = DEFAULT,  # noqa: A002 (the word of the contract)
    scale: bool = True,
    start: str | None = None,
    inaccessible: int | None = None,
    eps: float | None = None,
    tolerance: float = 0.01,
    controls: bool = False,
    seed: int = 0,
    train: int = 10_000,
    validation: int = 1_000,
    test: int = 1_000,
    settings: SearchConfig | None = None,
    memory: float | None = None,
    progress: bool | Callback = False,
) -> Alignment:
    """Find the maps under which the networks' states can be interchanged, and score them.

    Args:
        data: a counterfactual dataset; or sites, for which one is drawn from their tasks as `variable`, `train`,
            `validation` and `test` say. Widths may differ.
        variable: what is swapped: `full`, or a variable of the task, `count`, or some of its values, `count[1..10]`; a
            sequence names one for each site.
        method: a row of `METHODS` by its name (`mas`, `das`, `stitch`, `clmas`, ...), or one of one's own.
        rank: the dimensions of the aligned subspace. Of several, `[16, 32]`, the best on validation is taken, as it
            shows after some steps (`Settings.trial`); `auto` finds the least that is within `tolerance` of the best.
        map: how maps are parametrised: `gram-schmidt`, `expm`, `cayley` or `householder`.
        scale: whether each map has a trained scalar.
        start: `closed-form` (generalised Procrustes on the mean states of each value, or label), `paired` (on states of
            the same inputs) or `random`. By default `closed-form`, or `random` where the dataset has no classes, which
            `summary.notes` says. A method that is nothing but its start has its own.
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
        settings: how the search runs.
        memory: GiB that recorded states and interventions may take; what is beyond lies in temporary files.
        progress: whether to draw progress bars, or who is to be told instead.

    Returns:
        The alignment. Its IIA is that of the test interventions.

    Raises:
        InvalidArgument: sites, variables, method, rank, or map do not fit each other; a site fails its checks.
    """
    arguments = {name: value for name, value in locals().items() if name != "data"}
    request, config = request_of(data, arguments)
    if controls:
        require_controllable(request)
    timer = Timer()
    with _shown(progress) as callback, _within_memory(config.batch):
        context = request.context(timer, callback)
        splits = request.rows(context)
        with timer("search"):
            found, ranks = _search(request, splits, config, context, tolerance if rank == AUTO else None)
            request = replace(request, ranks=(found.maps[0].rank,))
        with timer("evaluate"):
            scores = scored(request, found.maps, splits)
            accuracy = request.data.accuracy(context)
        with timer("controls"):
            wanted = controls and found.stopped not in _ENDS
            beside = tuple(control_scores(request, config, found.steps, context)) if wanted else ()
    if found.stopped in _ENDS:
        warnings.warn(
            f"the search {_ENDS[found.stopped]} at step {found.steps}; this is its best until then",
            SearchWarning,
            stacklevel=2,
        )
    written = record(request, found, ranks, tolerance if rank == AUTO else None, splits, scores, beside, timer)
    written = written.model_copy(update={"accuracy": tuple(accuracy)})
    return Alignment(found.maps, written, request.preprocessing)


def _search(
    request: Request, splits: Splits, config: SearchConfig, context: RunContext, tolerance: float | None
) -> tuple[SearchResult, list[RankTrial]]:
    """Search at the rank that is asked for, at several, or for the smallest."""

    def begin(maps: Sequence[AlignmentMap]) -> Search:
        return new_search(request, splits, maps, config)

    def find(maps: Sequence[AlignmentMap]) -> SearchResult:
        return run_search(request, splits, maps, config, context.callback)

    ranks = list[RankTrial]()
    if tolerance is not None:
        found, ranks = smallest_rank(find, request.starting_maps(context), request.means(context), tolerance)
    elif len(request.ranks) > 1:
        starts = [replace(request, ranks=(each,)).starting_maps(context) for each in request.ranks]
        found, ranks = best_rank(begin, starts, config, context.callback)
    else:
        found = find(request.starting_maps(context))
    return found if request.method.searches else replace(found, stopped="closed-form"), ranks


def controls_of(
    data: Counterfactuals | Sequence[Readable] | Readable, steps: int, **arguments: Any
) -> tuple[ControlScore, ...]:
    """Score the controls of an alignment with these arguments whose search took so many steps.

    Raises:
        InvalidArgument: As `align`.
    """
    request, config = request_of(data, arguments)
    require_controllable(request)
    with _shown(arguments.get("progress", False)) as callback:
        return tuple(control_scores(request, config, steps, request.context(Timer(), callback)))


def request_of(
    data: Counterfactuals | Sequence[Readable] | Readable, arguments: Mapping[str, Any]
) -> tuple[Request, SearchConfig]:
    """Return the request and the search configuration of a call of `align` with these arguments.

    Raises:
        InvalidArgument: As `align`.
    """
    bound = inspect.signature(align).bind(data, **arguments)
    bound.apply_defaults()
    given = bound.arguments
    request = Request.checked(
        dataset_of(data, given),
        given["method"],
        given["rank"],
        map_name=given["map"],
        scale=given["scale"],
        start=given["start"],
        inaccessible=given["inaccessible"],
        eps=given["eps"],
        seed=given["seed"],
    )
    return request, _fitting(given["settings"], request, given["rank"], given["tolerance"])


def dataset_of(data: Counterfactuals | Sequence[Readable] | Readable, given: Mapping[str, Any]) -> Counterfactuals:
    """Return the dataset itself or, of sites, the one that is drawn from their tasks.

    Raises:
        InvalidArgument: A dataset is given, and an argument that only says how one is drawn.
    """
    memory = given["memory"]
    if not isinstance(data, Counterfactuals):
        return Counterfactuals.from_task(
            data,
            variable=given["variable"],
            n_train=given["train"],
            n_validation=given["validation"],
            n_test=given["test"],
            seed=given["seed"],
            memory=DEFAULT_BUDGET if memory is None else memory,
        )
    usual = inspect.signature(align).parameters
    for name in ("variable", "train", "validation", "test"):
        if given[name] != usual[name].default:
            raise InvalidArgument(f"{name} says how a dataset is drawn from tasks, and one is given: leave {name} out")
    return data if memory is None else data.with_memory(memory)


def _fitting(
    settings: SearchConfig | None, request: Request, rank: int | str | Sequence[int], tolerance: float
) -> SearchConfig:
    """The settings, once it is checked that they fit the rest."""
    settings = SearchConfig() if settings is None else settings
    if not isinstance(settings, SearchConfig):
        raise InvalidArgument(f"settings are given as Settings(most_steps=...), found {type(settings).__name__}")
    if not 0 <= tolerance <= 1:
        raise InvalidArgument(f"tolerance is a share from 0 to 1, found {tolerance}")
    if settings.optimizer is not None:
        lookup(
            f"optimiser of {request.parametrization.name}", settings.optimizer, request.parametrization.learning_rates
        )
    if settings.enough is not None:
        if rank == AUTO:
            raise InvalidArgument('rank="auto" compares how good ranks can be; leave out enough')
        if any(objective.uses_latents for objective in request.objectives.values()):
            raise InvalidArgument(f"{request.method.name} goes by latents in its search, so that no IIA can be enough")
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
        InvalidArgument: it does not.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, MemoryError | torch.OutOfMemoryError) and "allocate memory" not in str(error):
            raise
        raise OutOfMemory(
            f"batches of {batch} do not fit into memory beside the networks: batch = {max(1, batch // 2)} takes half, "
            'and precision = "bfloat16" halves the networks; causalign plan says how much each part takes'
        ) from None
