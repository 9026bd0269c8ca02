"""How far swapped states leave those that the network has of its own accord."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from causalign.counterfactuals.direction import Direction
from causalign.counterfactuals.interventions import Swap
from causalign.counterfactuals.rows import CounterfactualRows
from causalign.maps.base import AlignmentMap
from causalign.random_streams import torch_stream

_KEPT = 0.99  # of the variance of natural states: so much is in their natural subspace
_STATES = 1000


class Naturalness(NamedTuple):
    """Of the swapped states of one direction, and, for comparison, of natural states that were held out."""

    outside: float
    """The share of their variance, about the natural mean, outside the principal components that hold 99 % of the
    natural states'."""
    outside_natural: float
    energy: float
    """The energy distance to natural states, from 0 (one distribution) to 1."""
    energy_natural: float


def naturalness(
    maps: Sequence[AlignmentMap],
    swap: Swap,
    natural: Mapping[Direction, CounterfactualRows],
    held_out: Mapping[Direction, CounterfactualRows],
    seed: int,
) -> dict[Direction, Naturalness]:
    """Of 1,000 swaps of each held-out direction, against as many of the target's states in other interventions."""
    found = {}
    for direction, given in held_out.items():
        source, target = (maps[index] for index in direction)
        before, after = _swapped(given, swap, target, source, seed)
        reference, _ = _swapped(natural[direction], swap, target, source, seed)
        found[direction] = naturalness_of(after, before, reference)
    return found


def naturalness_of(
    swapped: Float[Tensor, "swapped width"],
    held_out: Float[Tensor, "held_out width"],
    natural: Float[Tensor, "natural width"],
) -> Naturalness:
    """How far states, and how far held-out natural ones, are from those that are known to be natural."""
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
    """The energy distance of two samples (Székely and Rizzo), as a share of its largest value.

    (2 E|x - y| - E|x - x'| - E|y - y'|) / 2 E|x - y|: 0 for equal distributions, 1 for two different points.
    """
    across = 2 * _mean_distance(x, y)
    return 0.0 if across == 0 else max(0.0, (across - _mean_distance(x, x) - _mean_distance(y, y)) / across)


def _mean_distance(x: Float[Tensor, "a width"], y: Float[Tensor, "b width"]) -> float:
    """Over all pairs; among the pairs of one sample, of two different members."""
    total = torch.cdist(x, y).sum()
    return float(total / (len(x) * (len(y) - (x is y))))


@torch.no_grad()
def _swapped(
    given: CounterfactualRows, swap: Swap, target: AlignmentMap, source: AlignmentMap, seed: int
) -> tuple[Float[Tensor, "states width"], Float[Tensor, "states width"]]:
    """Some of the target's states, before and after the swap; stepwise one position of each trial, drawn at random."""
    rng = torch_stream(seed, "departures")
    batch = given.take(torch.randperm(len(given), generator=rng)[:_STATES])
    after = swap(batch.target_states, batch.source_states, target, source)
    if batch.target_states.dim() == 2:
        return batch.target_states, after
    up_to = batch.places.position.cpu() + 1
    step = (torch.rand(len(batch), generator=rng) * up_to).long().to(after.device)
    trial = torch.arange(len(batch), device=after.device)
    return batch.target_states[trial, step], after[trial, step]
