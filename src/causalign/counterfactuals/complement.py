"""The complement: everything outside the subspace is swapped, and the target keeps its variable. And its baseline."""

from jaxtyping import Float
from torch import Tensor

from causalign.counterfactuals.interventions import interchange
from causalign.maps.base import AlignmentMap


def complement(
    target_states: Float[Tensor, "*rows target"],
    source_states: Float[Tensor, "*rows source"],
    target: AlignmentMap,
    source: AlignmentMap,
) -> Float[Tensor, "*rows target"]:
    """Return the source's states with the target's subspace, h' = h_s + V (V^T h_t - V^T h_s), in one network.

    It is the interchange with its two states exchanged. Source and target are the same site of the same network, for
    the result is the source's state outside the subspace, and the target runs on from it. Of several variables, the
    target keeps the block of the row's own only: the target's map has the mask of it.
    """
    return interchange(source_states, target_states, target, source)


def whole_state(
    _target_states: Float[Tensor, "*rows target"],
    source_states: Float[Tensor, "*rows source"],
    _target: AlignmentMap,
    _source: AlignmentMap,
) -> Float[Tensor, "*rows source"]:
    """Return the source's states: the baseline of the complement, in which the target keeps nothing."""
    return source_states
