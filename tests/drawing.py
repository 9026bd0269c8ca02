"""Rows and activations drawn in one call, for tests of what is done with them."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch

from causalign.counterfactuals import from_task
from causalign.counterfactuals.class_means import class_means as of_one_site
from causalign.counterfactuals.class_means import shared_means
from causalign.counterfactuals.direction import Direction
from causalign.counterfactuals.row_source import RowRequest
from causalign.counterfactuals.rows import CounterfactualRows
from causalign.counterfactuals.variables import Variables
from causalign.engine import activation_cache
from causalign.engine.activation_cache import Activations
from causalign.run_context import RunContext
from causalign.sites.base import Site
from causalign.sites.readable import Readable
from causalign.tasks.variable import Variable


def read_activations(
    sites: Sequence[Readable], count: int, seed: int, split: str, stepwise: bool = False
) -> list[Activations]:
    return activation_cache.read_activations(sites, count, split, RunContext(seed), stepwise=stepwise)


def draw_rows(
    sites: Sequence[Readable],
    variables: Sequence[Variable],
    directions: Iterable[Direction],
    activations: Sequence[Activations],
    count: int,
    seed: int,
    split: str,
    *,
    latent_directions: Iterable[Direction] = (),
    **_: Any,
) -> dict[Direction, CounterfactualRows]:
    request = RowRequest(split, tuple(directions), activations[0].stepwise, frozenset(latent_directions))
    return from_task.draw_rows(
        sites, Variables((tuple(variables),)), activations, count=count, request=request, context=RunContext(seed)
    )


def record(site: Site, trials: int, rng: np.random.Generator) -> Activations:
    drawn = site.task.trials(trials, rng)
    places = site.swappable(drawn)
    return activation_cache.read_trials(site, drawn, places, places, RunContext())


def class_means(
    activations: Sequence[Activations], keys: Sequence[Sequence[str]], variables: Sequence[Variable] = ()
) -> list[torch.Tensor]:
    return shared_means([of_one_site(*each) for each in zip(activations, keys, strict=True)], variables)
