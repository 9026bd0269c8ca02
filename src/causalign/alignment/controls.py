"""Controls: what the same search finds where there is nothing to find.

Each control is an alignment that differs from the one it stands beside in one respect and takes as many steps. It is
not stopped early: a search that is held back by a single direction would be.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace

from causalign.alignment.fit import new_search
from causalign.alignment.request import Request
from causalign.alignment.schema import ControlScore
from causalign.alignment.scoring import scores_without_baseline
from causalign.callbacks import ProgressUpdate
from causalign.run_context import RunContext
from causalign.search.stop_reason import StopReason
from causalign.sites.base import require_site
from causalign.timer import Timer

_NETWORKS = "controls=True is of networks: recording_controls has those of recordings"
Control = Callable[[Request], Request]
"""A function that changes one respect of a request: the dataset, the start, or the search."""


def untrained(request: Request) -> Request:
    """Replace the first network by an untrained one of the same shape. It reads the same inputs."""
    first, *others = (require_site(site, _NETWORKS) for site in request.sites)
    network = first.network.untrained(request.seed)
    sites = [network.site(first.at, first.task), *others]
    return replace(request, data=request.data.with_sites(sites))


def shuffled(request: Request) -> Request:
    """Shuffle the expected outputs, and latents, among the rows of each direction."""
    return replace(request, data=request.data.shuffled(request.seed))


def random_start(request: Request) -> Request:
    """Leave the subspaces where a random start puts them."""
    return replace(request, start="random", search=request.search.replace(max_steps=0))


CONTROLS: dict[str, Control] = {"untrained": untrained, "shuffled": shuffled, "random": random_start}


def require_controllable(request: Request) -> None:
    """Check, before any work, that the controls can be run.

    Raises:
        InvalidArgument: A site is a recording.
    """
    for site in request.sites:
        require_site(site, _NETWORKS)


def control_scores(request: Request, steps: int, context: RunContext) -> Iterator[ControlScore]:
    """Score every control of an alignment whose search took so many steps; fewer if Ctrl-C ends them."""
    same_steps = replace(request, search=request.search.replace(max_steps=steps, early_stopping=False))
    for name, control in CONTROLS.items():

        def tell(update: ProgressUpdate, name: str = name) -> None:
            context.callback(replace(update, stage=f"{name} (control)"))

        own = replace(context, callback=tell, timer=Timer())
        changed = control(same_steps)
        splits = changed.rows(own)
        starting_maps = changed.starting_maps(max(changed.rank.ranks(changed.full_rank)), own)
        found = new_search(changed, splits, starting_maps).go_on(changed.search.max_steps, tell)
        if found.stopped == StopReason.INTERRUPTED:
            return
        for score in scores_without_baseline(changed, found.maps, splits["test"]):
            yield ControlScore(control=name, steps=found.steps, **dict(score))
