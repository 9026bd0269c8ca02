"""Controls: what the same search finds where there is nothing to find.

Each control is an alignment that differs from the one it stands beside in one respect and takes as many steps: it does
not end where it seems to have settled, as one that is held back by a single direction would.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace

from causalign.alignment.fit import run_search
from causalign.alignment.request import Request
from causalign.alignment.schema import ControlScore
from causalign.alignment.scoring import scores
from causalign.callbacks import ProgressUpdate
from causalign.run_context import RunContext
from causalign.search.config import SearchConfig
from causalign.sites.base import require_site
from causalign.timer import Timer

_NETWORKS = "controls=True is of networks: recording_controls has those of recordings"
Changed = tuple[Request, SearchConfig]
Control = Callable[[Request, SearchConfig], Changed]
"""A function that changes one respect: the dataset, the start, or the search."""


def untrained(request: Request, config: SearchConfig) -> Changed:
    """Replace the first network by an untrained one of the same shape; the inputs stay, and are read anew."""
    first, *others = (require_site(site, _NETWORKS) for site in request.sites)
    network = first.network.untrained(request.seed)
    sites = [network.site(first.at, first.task), *others]
    return replace(request, data=request.data.with_sites(sites)), config


def shuffled(request: Request, config: SearchConfig) -> Changed:
    """Shuffle the expected outputs, and latents, among the rows of each direction."""
    return replace(request, data=request.data.shuffled(request.seed)), config


def random_start(request: Request, config: SearchConfig) -> Changed:
    """Leave the subspaces where a random start puts them."""
    return replace(request, start="random"), replace(config, most_steps=0)


CONTROLS: dict[str, Control] = {"untrained": untrained, "shuffled": shuffled, "random": random_start}


def require_controllable(request: Request) -> None:
    """Check, before any work, that the controls can be run.

    Raises:
        InvalidArgument: A site is a recording.
    """
    for site in request.sites:
        require_site(site, _NETWORKS)


def control_scores(request: Request, config: SearchConfig, steps: int, context: RunContext) -> Iterator[ControlScore]:
    """Score every control of an alignment whose search took so many steps; fewer if Ctrl-C ends them."""
    for name, control in CONTROLS.items():

        def tell(update: ProgressUpdate, name: str = name) -> None:
            context.callback(replace(update, stage=f"{name} (control)"))

        own = replace(context, callback=tell, timer=Timer())
        changed, its_config = control(request, replace(config, most_steps=steps, to_the_end=True))
        splits = changed.rows(own)
        found = run_search(changed, splits, changed.starting_maps(own), its_config, tell)
        if found.stopped == "interrupted":
            return
        held_out = {direction: splits["test"][direction] for direction in request.objectives}
        for score in scores(changed, found.maps, changed.method.swap, held_out):
            yield ControlScore(control=name, steps=found.steps, **dict(score))
