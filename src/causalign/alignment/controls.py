"""Controls: the scores of the same search where there is nothing to find.

A control is an alignment that differs in one respect and takes as many steps. It is not stopped early, because a single
direction that does not improve would end its search.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace

from causalign.alignment.fit import rank_searches
from causalign.alignment.request import Request
from causalign.alignment.schema import ControlScore
from causalign.alignment.scoring import scores_without_baseline
from causalign.callbacks import ProgressUpdate
from causalign.run_context import RunContext
from causalign.sites.base import require_site
from causalign.timer import Timer

_NETWORKS = "controls=True runs every site: use recording_controls"
Control = Callable[[Request], Request]
"""A function that changes one respect of a request: the dataset, the start, or the search."""


def untrained(request: Request) -> Request:
    """Return the request with the first network replaced by an untrained one of its shape, on the same inputs."""
    first, *others = (require_site(site, _NETWORKS) for site in request.sites)
    network = first.network.untrained(request.seed)
    sites = [network.site(first.at, first.task), *others]
    return replace(request, data=request.data.with_sites(sites))


def shuffled(request: Request) -> Request:
    """Return the request with expected outputs and latents shuffled among the rows of each direction."""
    return replace(request, data=request.data.shuffled(request.seed))


def random_start(request: Request) -> Request:
    """Return the request with a random start and no search, which scores random subspaces."""
    return replace(request, start="random", search=request.search.replace(max_steps=0))


CONTROLS: dict[str, Control] = {"untrained": untrained, "shuffled": shuffled, "random": random_start}
"""The controls by name."""


def require_controllable(request: Request) -> None:
    """Check that the controls can be run, before any network is.

    Raises:
        InvalidArgument: A site is a recording.
    """
    for site in request.sites:
        require_site(site, _NETWORKS)


def control_scores(request: Request, steps: int, context: RunContext) -> Iterator[ControlScore]:
    """Score every control of an alignment whose search took `steps` steps."""
    same_steps = replace(request, search=request.search.replace(max_steps=steps, early_stopping=False, target_iia=None))
    for name, control in CONTROLS.items():

        def report(update: ProgressUpdate, name: str = name) -> None:
            context.callback(replace(update, stage=f"{name} (control)"))

        own = replace(context, callback=report, timer=Timer())
        changed = control(same_steps)
        splits = changed.rows(own)
        found, _ = changed.rank.find(rank_searches(changed, splits, own))
        for score in scores_without_baseline(changed, found.maps, splits["test"]):
            yield ControlScore(control=name, steps=found.steps, **dict(score))
