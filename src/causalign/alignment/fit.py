"""The searches of a request's maps."""

from collections.abc import Mapping, Sequence

from causalign.alignment.request import Request
from causalign.counterfactuals.direction import Direction
from causalign.counterfactuals.rows import CounterfactualRows
from causalign.maps.base import AlignmentMap
from causalign.random_streams import numpy_stream
from causalign.search.problem import Problem
from causalign.search.search import Search

Splits = Mapping[str, Mapping[Direction, CounterfactualRows]]
"""The rows of each split by direction."""


def new_search(request: Request, splits: Splits, start: Sequence[AlignmentMap]) -> Search:
    """Return a search that begins at these maps, on the train and validation rows."""
    intervention = request.method.intervention
    problem = Problem(request.sites, intervention, request.objectives, splits["train"], splits["validation"])
    return Search(problem, request.trainable(start), request.search, numpy_stream(request.seed, "batches"))
