"""The naturalness of swapped states: their distance to states that the network has with nothing swapped."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from causalign.counterfactuals.direction import Direction
from causalign.counterfactuals.interventions import Swap, intervene
from causalign.counterfactuals.rows import CounterfactualRows
from causalign.maps.base import AlignmentMap
from causalign.random_streams import torch_stream
from causalign.scoring.iia import Line

_KEPT = 0.99  # share of the variance of natural states that their principal components keep
_STATES = 1000


class Naturalness(NamedTuple):
    """Distances of the swapped states of a direction and variable to natural states, and those of held-out ones."""

    outside: float
    """The share of the swapped states' variance (about the mean of natural states) that lies outside the principal
    components which hold 99 % of the variance of natural states."""
    outside_natural: float
    """The same share for held-out natural states."""
    energy: float
    """The energy distance of the swapped states to natural states, from 0 (equal distributions) to 1."""
    energy_natural: float
    """The energy distance of held-out natural states to natural states."""


def naturalness(
    maps: Sequence[AlignmentMap],
    swap: Swap,
    natural: Mapping[Direction, CounterfactualRows],
    held_out: Mapping[Direction, CounterfactualRows],
    seed: int,
) -> dict[Line, Naturalness]:
    """Return the naturalness of 1,000 swapped states of each direction and variable.

    Args:
        maps: The alignment map of each site.
        swap: The intervention.
        natural: Rows of each direction. 1,000 target states of theirs are the natural states.
        held_out: Other rows of each direction, which are swapped. Their target states are the held-out natural states.
        seed: The seed that selects the rows.
    """
    found = {}
    for direction, rows in held_out.items():
        pair = maps[direction.source], maps[direction.target]
        of_natural = natural[direction].by_variable()
        for variable, index in rows.by_variable().items():
            before, after = _swapped(rows, index, swap, pair, seed)
            reference, _ = _swapped(natural[direction], of_natural[variable], swap, pair, seed)
            found[direction, variable] = naturalness_of(after, before, reference)
    return found


def naturalness_of(
    swapped: Float[Tensor, "swapped width"],
    held_out: Float[Tensor, "held_out width"],
    natural: Float[Tensor, "natural width"],
) -> Naturalness:
    """Return the distances of swapped states, and of held-out natural states, to natural states."""
    swapped, held_out, natural = (states.double().cpu() for states in (swapped, held_out, natural))
    mean = natural.mean(0)
    _, spread, axes = torch.linalg.svd(natural - mean, full_matrices=False)
    share = spread.square().cumsum(0) / spread.square().sum().clamp_min(torch.finfo(spread.dtype).tiny)
    subspace = axes[: int((share < _KEPT).sum()) + 1]

    def outside(states: Float[Tensor, "some width"]) -> float:
        centred = states - mean
        total = centred.square().sum().clamp_min(torch.finfo(centred.dtype).tiny)
        return float(1 - (centred @ subspace.mT).square().sum() / total)

    return Naturalness(outside(swapped), outside(held_out), energy(swapped, natural), energy(held_out, natural))


def energy(x: Float[Tensor, "a width"], y: Float[Tensor, "b width"]) -> float:
    """Return the energy distance of two samples (Székely and Rizzo), as a share of its largest value.

    (2 E|x - y| - E|x - x'| - E|y - y'|) / 2 E|x - y| is 0 for equal distributions and 1 for two different points.
    """
    across = 2 * _mean_distance(x, y)
    return 0.0 if across == 0 else max(0.0, (across - _mean_distance(x, x) - _mean_distance(y, y)) / across)


def _mean_distance(x: Float[Tensor, "a width"], y: Float[Tensor, "b width"]) -> float:
    """Return the mean distance over all pairs or, within one sample, over the pairs of two different members."""
    total = torch.cdist(x, y).sum()
    return float(total / (len(x) * (len(y) - (x is y))))


@torch.no_grad()
def _swapped(
    rows: CounterfactualRows,
    index: Int[Tensor, " of_variable"],
    swap: Swap,
    maps: tuple[AlignmentMap, AlignmentMap],
    seed: int,
) -> tuple[Float[Tensor, "states width"], Float[Tensor, "states width"]]:
    """Return up to 1,000 of the target's states before and after the swap, in the rows of an index.

    `maps` are the map of the source and that of the target. Where several states of a row are swapped, they are those
    of one position of each row, drawn at random.
    """
    rng = torch_stream(seed, "departures")
    batch = rows.take(index[torch.randperm(len(index), generator=rng)[:_STATES]])
    source, target = maps
    after = intervene(swap, batch, target, source)
    if batch.target_states.dim() == 2:
        return batch.target_states, after
    several = batch.places.later is not None
    count = torch.tensor(after.shape[1]) if several else batch.places.position.cpu() + 1
    step = (torch.rand(len(batch), generator=rng) * count).long().to(after.device)
    trial = torch.arange(len(batch), device=after.device)
    return batch.target_states[trial, step], after[trial, step]
