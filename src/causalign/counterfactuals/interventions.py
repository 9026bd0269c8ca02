"""The swaps: what becomes of a target's state when a source's is given.

All take target states `[trials, target width]`, source states `[trials, source width]` and the two maps, and give the
target states after the swap; stepwise, states are `[trials, steps, width]`.
"""

from collections.abc import Callable

from jaxtyping import Float
from torch import Tensor

from causalign.maps.base import AlignmentMap

Swap = Callable[
    [Float[Tensor, "*rows target"], Float[Tensor, "*rows source"], AlignmentMap, AlignmentMap],
    Float[Tensor, "*rows target"],
]


def interchange(
    target_states: Float[Tensor, "*rows target"],
    source_states: Float[Tensor, "*rows source"],
    target: AlignmentMap,
    source: AlignmentMap,
) -> Float[Tensor, "*rows target"]:
    """The target's subspace takes the source's contents; the rest of the state stays (equation 13).

    h' = h_t + V_t (c V_s^T h_s - V_t^T h_t) with c = a_s / a_t; no width x width matrix is formed.
    """
    source_states, target_states = source_states.to(source.frame.dtype), target_states.to(target.frame.dtype)
    taken = (source.scale / target.scale) * (source_states @ source.frame)
    return target_states + (taken - target_states @ target.frame) @ target.frame.mT


def replace(
    _target_states: Float[Tensor, "*rows target"],
    source_states: Float[Tensor, "*rows source"],
    target: AlignmentMap,
    source: AlignmentMap,
) -> Float[Tensor, "*rows target"]:
    """The whole state is replaced by the mapped source state, h' = c V_t V_s^T h_s: model stitching of that rank."""
    return (source.scale / target.scale) * (source_states.to(source.frame.dtype) @ source.frame) @ target.frame.mT


def keep(
    target_states: Float[Tensor, "*rows target"],
    _source_states: Float[Tensor, "*rows source"],
    _target: AlignmentMap,
    _source: AlignmentMap,
) -> Float[Tensor, "*rows target"]:
    """Nothing is swapped: the floor, scored by a target that goes on from its own state."""
    return target_states
