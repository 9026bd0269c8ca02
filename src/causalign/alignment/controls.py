"""Controls: what the same search finds where there is nothing to be found.

Each control is an alignment that differs from the one it stands beside in one respect, and takes as many steps: it does
not end where it seems to have settled, as one that is held back by a single direction would.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from causalign.alignment.fit import run_search
from causalign.alignment.request import Request, Split
from causalign.alignment.schema import ControlScore
from causalign.alignment.scoring import scores
from causalign.callbacks import Callback, ProgressUpdate
from causalign.errors import CausalignError
from causalign.random_streams import numpy_stream
from causalign.search.config import SearchConfig
from causalign.sites.base import require_site
from causalign.storage import Store
from causalign.timer import Timer

_TAKES = "controls=True is of networks: recording_controls has those of recordings"
Splits = Mapping[str, Split]
Control = Callable[[Request, Splits, SearchConfig, Callback], tuple[Request, Splits, SearchConfig]]
"""What is changed: the request, its interventions, or the settings of its search."""


def untrained(
    request: Request, splits: Splits, settings: SearchConfig, listener: Callback
) -> tuple[Request, Splits, SearchConfig]:
    """The first network is replaced by an untrained one of the same shape."""
    del splits
    first, *others = (require_site(site, _TAKES) for site in request.sites)
    network = first.network.untrained(request.seed)
    changed = replace(request, sites=[network.site(first.at, first.task), *others])
    return changed, changed.draw(Timer("data", "states"), listener), settings


def shuffled(
    request: Request, splits: Splits, settings: SearchConfig, listener: Callback
) -> tuple[Request, Splits, SearchConfig]:
    """The counterfactual continuations, and latents, are shuffled among the interventions of each direction."""
    del listener
    store = Store(request.memory)
    changed = {}
    for name, split in splits.items():
        of = {
            direction: given.shuffled(
                numpy_stream(request.seed, name, "shuffled", *direction), request.sites[direction.target], store
            )
            for direction, given in split.interventions.items()
        }
        changed[name] = replace(split, interventions=of)
    return request, changed, settings


def random_start(
    request: Request, splits: Splits, settings: SearchConfig, listener: Callback
) -> tuple[Request, Splits, SearchConfig]:
    """The subspaces are left where a random start puts them."""
    del listener
    return replace(request, start="random"), splits, replace(settings, most_steps=0)


CONTROLS: dict[str, Control] = {"untrained": untrained, "shuffled": shuffled, "random": random_start}


def require_controllable(request: Request) -> None:
    """Check, before any work, that the controls can be run.

    Raises:
        CausalignError: a site is a recording, or the interventions are a user's own.
    """
    if request.given is not None:
        raise CausalignError("controls=True reads networks anew, and interventions of one's own are read already")
    for site in request.sites:
        require_site(site, _TAKES)


def control_scores(
    request: Request, splits: Splits, settings: SearchConfig, steps: int, listener: Callback
) -> Iterator[ControlScore]:
    """The scores of every control of an alignment whose search took so many steps; fewer if Ctrl-C ends them."""
    for name, control in CONTROLS.items():

        def told(update: ProgressUpdate, name: str = name) -> None:
            listener(replace(update, stage=f"{name} (control)"))

        as_many = replace(settings, most_steps=steps, to_the_end=True)
        changed, its_splits, its_settings = control(request, splits, as_many, told)
        start = changed.starting_maps(its_splits["train"].recorded)
        found = run_search(changed, its_splits, start, its_settings, told)
        if found.stopped == "interrupted":
            return
        held_out = {direction: its_splits["test"].interventions[direction] for direction in request.objectives}
        for score in scores(changed, found.maps, changed.method.swap, held_out):
            yield ControlScore(control=name, steps=found.steps, **dict(score))
