"""One search of a request's maps."""

from collections.abc import Mapping, Sequence

from causalign._progress import Listener
from causalign._random import numpy_stream
from causalign.alignment._request import Request, Split
from causalign.maps import AlignmentMap
from causalign.search import Found, Problem, Settings, search


def searched(
    request: Request,
    splits: Mapping[str, Split],
    start: Sequence[AlignmentMap],
    settings: Settings,
    listener: Listener,
) -> Found:
    """What the search finds from these maps, on the interventions of two of the splits."""
    train, validation = (splits[name].interventions for name in ("train", "validation"))
    problem = Problem(request.sites, request.method.swap, request.objectives, train, validation)
    return search(problem, request.trainable(start), settings, numpy_stream(request.seed, "batches"), listener)
