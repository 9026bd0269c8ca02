"""The searches of a request's maps."""

from collections.abc import Mapping, Sequence

from causalign.alignment.request import Request, Split
from causalign.callbacks import Callback
from causalign.maps.base import AlignmentMap
from causalign.random_streams import numpy_stream
from causalign.search.config import SearchConfig
from causalign.search.problem import Problem
from causalign.search.search import Search, SearchResult


def new_search(
    request: Request, splits: Mapping[str, Split], start: Sequence[AlignmentMap], settings: SearchConfig
) -> Search:
    """A search that begins at these maps, on the interventions of two of the splits."""
    train, validation = (splits[name].interventions for name in ("train", "validation"))
    problem = Problem(request.sites, request.method.swap, request.objectives, train, validation)
    return Search(problem, request.trainable(start), settings, numpy_stream(request.seed, "batches"))


def run_search(
    request: Request,
    splits: Mapping[str, Split],
    start: Sequence[AlignmentMap],
    settings: SearchConfig,
    listener: Callback,
) -> SearchResult:
    """What the search finds from these maps."""
    return new_search(request, splits, start, settings).go_on(settings.most_steps, listener)
