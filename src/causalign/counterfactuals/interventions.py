"""Interventions on states: interchange, replace, and keep; and how the rows of a batch carry them out.

Each takes target states `[rows, target width]`, source states `[rows, source width]`, the target's map and the source's
map, and returns the target states after the swap. Stepwise, states are `[rows, steps, width]`.
"""

import dataclasses
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from causalign.engine.batch import Batch
from causalign.errors import InvalidArgument
from causalign.maps.base import AlignmentMap
from causalign.maps.position_map import PositionMap

Swap = Callable[
    [Float[Tensor, "*rows target"], Float[Tensor, "*rows source"], AlignmentMap, AlignmentMap],
    Float[Tensor, "*rows target"],
]
"""An intervention: a function of target states, source states, the target's map and the source's map."""


def interchange(
    target_states: Float[Tensor, "*rows target"],
    source_states: Float[Tensor, "*rows source"],
    target: AlignmentMap,
    source: AlignmentMap,
) -> Float[Tensor, "*rows target"]:
    """Replace the target's subspace by the source's, and keep the rest of the state (equation 13).

    h' = h_t + V_t (c V_s^T h_s - V_t^T h_t) with c = a_s / a_t. No width x width matrix is formed. Where the
    target's map has a mask, only the share that it names of each coordinate is replaced.
    """
    source_states, target_states = source_states.to(source.frame.dtype), target_states.to(target.frame.dtype)
    taken = (source.scale / target.scale) * source.coordinates(source_states)
    return target_states + target.masked(taken - target.coordinates(target_states)) @ target.frame.mT


def replace(
    _target_states: Float[Tensor, "*rows target"],
    source_states: Float[Tensor, "*rows source"],
    target: AlignmentMap,
    source: AlignmentMap,
) -> Float[Tensor, "*rows target"]:
    """Replace the whole state by the mapped source state, h' = c V_t V_s^T h_s: model stitching at the maps' rank."""
    taken = (source.scale / target.scale) * source.coordinates(source_states.to(source.frame.dtype))
    return target.masked(taken) @ target.frame.mT


def keep(
    target_states: Float[Tensor, "*rows target"],
    _source_states: Float[Tensor, "*rows source"],
    _target: AlignmentMap,
    _source: AlignmentMap,
) -> Float[Tensor, "*rows target"]:
    """Return the target states unchanged: the baseline, in which nothing is swapped."""
    return target_states


def intervene(
    swap: Swap, batch: Batch, target: AlignmentMap, source: AlignmentMap
) -> Float[Tensor, "rows ... target_width"]:
    """Return the target states of a batch after its swaps.

    Where the rows have several variables, each swaps the block of its own: the target's map is masked by row. Where the
    maps have a subspace for each position, the intervention is carried out at each position by itself.

    Args:
        swap: The intervention.
        batch: The rows.
        target: The map of the target.
        source: The map of the source.

    Raises:
        InvalidArgument: The rows have several variables and the maps have no blocks, or the other way round; or the
            maps have subspaces for another number of positions than the rows.
    """
    if isinstance(target, PositionMap) or isinstance(source, PositionMap):
        return torch.stack([intervene(swap, *at_position) for at_position in _by_position(batch, target, source)], 1)
    return swap(batch.target_states, batch.source_states, target.row_blocks(batch.variable), source)


def _by_position(
    batch: Batch, target: AlignmentMap, source: AlignmentMap
) -> list[tuple[Batch, AlignmentMap, AlignmentMap]]:
    """Return the batch with its states at each position alone, and the target's and the source's map of the position.

    Raises:
        InvalidArgument: The numbers of positions of the rows and of the two maps differ.
    """
    several = batch.places.later is not None
    found = batch.target_states.shape[1] if several else 1
    maps = [each.by_position if isinstance(each, PositionMap) else (each,) for each in (target, source)]
    if not several or {len(each) for each in maps} != {found}:
        raise InvalidArgument(
            f"the target's map has subspaces for {len(maps[0])} positions and the source's for {len(maps[1])}, and the "
            f"rows have {found} positions each: all three must agree"
        )
    return [
        (
            dataclasses.replace(
                batch, source_states=batch.source_states[:, at], target_states=batch.target_states[:, at]
            ),
            *of_position,
        )
        for at, of_position in enumerate(zip(*maps, strict=True))
    ]
