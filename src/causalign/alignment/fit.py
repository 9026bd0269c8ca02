"""The searches of a request's maps."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from jaxtyping import Float
from torch import Tensor

from causalign.alignment.request import Request
from causalign.counterfactuals.direction import Direction
from causalign.counterfactuals.rows import CounterfactualRows
from causalign.journal import Journal
from causalign.maps.base import AlignmentMap, TrainableMap
from causalign.maps.gate import Gate
from causalign.random_streams import numpy_stream
from causalign.run_context import RunContext
from causalign.search.problem import Problem
from causalign.search.rank_selection import RankSearches
from causalign.search.search import Search

Splits = Mapping[str, Mapping[Direction, CounterfactualRows]]
"""The rows of each split by direction."""


def rank_searches(request: Request, splits: Splits, context: RunContext) -> RankSearches:
    """Return what the rank selection of a request works with."""

    def begin(maps: Sequence[AlignmentMap]) -> Search:
        return new_search(request, splits, maps, journal=context.journal)

    def begin_gated(maps: Sequence[AlignmentMap], gate: Gate, steps: int) -> Search:
        whole = request.search.replace(max_steps=steps, early_stopping=False, target_iia=None)
        return new_search(replace(request, search=whole), splits, maps, gate, journal=context.journal)

    def starting_maps(rank: int) -> list[AlignmentMap]:
        return request.starting_maps(rank, context)

    def means() -> Sequence[Float[Tensor, "values _"]]:
        return request.means(context)

    return RankSearches(begin, starting_maps, means, request.full_rank, request.search, context.callback, begin_gated)


def gated_maps(request: Request, start: Sequence[AlignmentMap], gate: Gate | None) -> list[TrainableMap]:
    """Return trainable maps that begin at these maps and share a gate, if there is one."""
    trainable = request.trainable(start)
    for each, site in zip(trainable, request.sites, strict=True):
        each.gate = None if gate is None else gate.to(site.device)
    return trainable


def new_search(
    request: Request, splits: Splits, start: Sequence[AlignmentMap], gate: Gate | None = None, *, journal: Journal
) -> Search:
    """Return a search that begins at these maps, and trains the gate that they share, on train and validation rows."""
    intervention = request.method.intervention
    problem = Problem(request.sites, intervention, request.objectives, splits["train"], splits["validation"])
    maps, rng = gated_maps(request, start, gate), numpy_stream(request.seed, "batches")
    return Search(problem, maps, request.search, rng, journal=journal)
