"""A user's own interventions in place of drawn ones: whether they are what a method needs, and of the sites named."""

from collections.abc import Mapping, Sequence

import torch

from causalign.alignment.methods import Method
from causalign.counterfactuals.direction import Direction
from causalign.counterfactuals.rows import CounterfactualRows
from causalign.errors import CausalignError
from causalign.search.objectives import Objective
from causalign.sites.base import Site
from causalign.sites.checks import check_rows
from causalign.tasks.base import Sequences

SPLITS = ("train", "validation", "test")
_CHECKED = 16  # interventions that a site is tried on


def given_splits(
    interventions: object,
    sites: Sequence[Site],
    method: Method,
    objectives: Mapping[Direction, Objective],
    seed: int,
) -> dict[str, dict[Direction, CounterfactualRows]]:
    """The interventions of each split by direction; of a method with one direction, they may come without it.

    Raises:
        CausalignError: a split or a direction is missing, interventions are of other sites or of another kind of swap,
            the method needs counterfactual latents, or a site fails its checks on them.
    """
    if any(objective.uses_latents for objective in objectives.values()):
        raise CausalignError(f"{method.name} needs counterfactual latents, which given interventions lack")
    if not isinstance(interventions, Mapping) or set(interventions) != set(SPLITS):
        found = (
            ", ".join(map(str, interventions)) if isinstance(interventions, Mapping) else type(interventions).__name__
        )
        raise CausalignError(f"interventions are given by split, {', '.join(SPLITS)}; found {found or 'nothing'}")
    splits = {split: _by_direction(interventions[split], split, objectives) for split in SPLITS}
    for split, by_direction in splits.items():
        for direction, given in by_direction.items():
            _require_fitting(given, direction, sites, method, split)
    for direction, given in splits["train"].items():
        _check(sites[direction.target], given, seed)
    return splits


def start_without_values(start: str) -> str:
    """The start where it is not known what states stand for.

    Raises:
        CausalignError: the start needs trials of a task.
    """
    if start == "paired":
        raise CausalignError("a paired start needs the same trials in all networks, which given interventions are not")
    return "random"


def _by_direction(
    given: object, split: str, objectives: Mapping[Direction, Objective]
) -> dict[Direction, CounterfactualRows]:
    if isinstance(given, CounterfactualRows) and len(objectives) == 1:
        return dict.fromkeys(objectives, given)
    by_direction = dict(given) if isinstance(given, Mapping) else {}
    missing = [direction for direction in objectives if not isinstance(by_direction.get(direction), CounterfactualRows)]
    if missing:
        raise CausalignError(
            f"{split} interventions of the direction {tuple(missing[0])} are missing: "
            f"{{(source, target): Interventions.from_arrays(...)}}, sites by their index"
        )
    return {direction: by_direction[direction] for direction in objectives}


def _require_fitting(
    given: CounterfactualRows, direction: Direction, sites: Sequence[Site], method: Method, split: str
) -> None:
    for end, recorded, index in zip(("source", "target"), (given.source, given.target), direction, strict=True):
        site = sites[index]
        if (recorded.whose, recorded.states.shape[1]) != (site.name, site.width):
            raise CausalignError(
                f"{split} interventions of the direction {tuple(direction)} have the {end} {recorded.whose} (width "
                f"{recorded.states.shape[1]}), and site {index} is {site.name} (width {site.width})"
            )
    if given.target.stepwise != method.stepwise:
        asked, found = ("stepwise", "single states") if method.stepwise else ("of single states", "stepwise ones")
        raise CausalignError(f"{method.name} takes swaps that are {asked}, and the {split} interventions are {found}")


def _check(site: Site, given: CounterfactualRows, seed: int) -> None:
    """Try a target on some of its trials, followed by what they should go on with."""
    some = given.take(torch.arange(min(len(given), _CHECKED)))
    trials = given.target.trials
    assert isinstance(trials, Sequences)  # a site's
    before = torch.from_numpy(trials.tokens).to(site.device)[some.places.trial]
    places, lengths = some.places.position, some.lengths
    whole = torch.zeros(len(places), int((places + 1 + lengths).max()), dtype=torch.long, device=site.device)
    time = torch.arange(whole.shape[1], device=site.device)
    own = time <= places[:, None]
    behind = ~own & (time <= (places + lengths)[:, None])
    whole[own] = before[:, : whole.shape[1]][own[:, : before.shape[1]]]
    whole[behind] = some.tokens[torch.arange(some.tokens.shape[1], device=site.device) < lengths[:, None]]
    check_rows(site, whole, places.cpu().numpy(), lengths.cpu().numpy(), seed, given.target.stepwise)
