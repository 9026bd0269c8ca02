"""The searches of a request's maps."""

from collections.abc import Mapping, Sequence

from causalign.alignment.request import Request
from causalign.callbacks import Callback
from causalign.counterfactuals.direction import Direction
from causalign.counterfactuals.rows import CounterfactualRows
from causalign.maps.base import AlignmentMap
from causalign.random_streams import numpy_stream
from causalign.search.config import SearchConfig
from causalign.search.problem import Problem
from causalign.search.search import Search, SearchResult

Splits = Mapping[str, Mapping[Direction, CounterfactualRows]]
"""The rows of each split by direction."""


def new_search(request: Request, splits: Splits, start: Sequence[AlignmentMap], config: SearchConfig) -> Search:
    """Return a search that begins at these maps, on the train and validation rows."""
    problem = Problem(request.sites, request.method.swap, request.objectives, splits["train"], splits["validation"])
    return Search(problem, request.trainable(start), config, numpy_stream(request.seed, "batches"))


def run_search(
    request: Request, splits: Splits, start: Sequence[AlignmentMap], config: SearchConfig, callback: Callback
) -> SearchResult:
    """Search from these maps to the end."""
    return new_search(request, splits, start, config).go_on(config.most_steps, callback)
