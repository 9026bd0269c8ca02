"""The searches of a request's maps."""

from collections.abc import Mapping, Sequence

from causalign._progress import Listener
from causalign._random import numpy_stream
from causalign.alignment._request import Request, Split
from causalign.maps import AlignmentMap
from causalign.search import Found, Problem, Search, Settings


def begun(request: Request, splits: Mapping[str, Split], start: Sequence[AlignmentMap], settings: Settings) -> Search:
    """A search that begins at these maps, on the interventions of two of the splits."""
    train, validation = (splits[name].interventions for name in ("train", "validation"))
    problem = Problem(request.sites, request.method.swap, request.objectives, train, validation)
    return Search(problem, request.trainable(start), settings, numpy_stream(request.seed, "batches"))


def searched(
    request: Request,
    splits: Mapping[str, Split],
    start: Sequence[AlignmentMap],
    settings: Settings,
    listener: Listener,
) -> Found:
    """What the search finds from these maps."""
    return begun(request, splits, start, settings).go_on(settings.most_steps, listener)
