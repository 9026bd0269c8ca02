"""Export of alignment maps to pyvene."""

from importlib import import_module
from importlib.util import find_spec
from typing import Any

from causalign.errors import InvalidArgument, MissingDependency
from causalign.maps.base import AlignmentMap
from causalign.maps.feature_map import FeatureMap


def to_pyvene(of: AlignmentMap) -> Any:
    """Return pyvene's `LowRankRotatedSpaceIntervention` on the subspace of one network.

    Within a network both compute h' = h_t + V (V^T h_s - V^T h_t), as the map's scale cancels (equation 13). The place
    of the intervention is part of pyvene's configuration. The site `layer.4` is
    `IntervenableConfig([{"layer": 3, "component": "block_output", "intervention": ...}])`.

    Args:
        of: The alignment map of the network.

    Raises:
        InvalidArgument: The map reads features by an encoder, which pyvene's intervention has not.
        MissingDependency: pyvene is not installed.
    """
    if isinstance(of, FeatureMap) and of.encoder is not None:
        raise InvalidArgument(f"pyvene's LowRankRotatedSpaceIntervention has no encoder, and the map has one: {of}")
    if find_spec("pyvene") is None:
        raise MissingDependency("this needs pyvene: pip install pyvene")
    made = import_module("pyvene").LowRankRotatedSpaceIntervention(embed_dim=of.width, low_rank_dimension=of.rank)
    made.rotate_layer.weight = of.frame.detach().clone()
    return made
