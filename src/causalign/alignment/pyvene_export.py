"""Alignment maps for other software."""

from importlib import import_module
from importlib.util import find_spec
from typing import Any

from causalign.errors import MissingDependency
from causalign.maps.base import AlignmentMap


def to_pyvene(of: AlignmentMap) -> Any:
    """The `LowRankRotatedSpaceIntervention` of pyvene on the subspace of one network.

    Within a network both say h' = h_t + V (V^T h_s - V^T h_t), as the map's scale cancels (equation 13). pyvene puts it
    wherever it is told: `IntervenableConfig([{"layer": 3, "component": "block_output", "intervention": ...}])` is our
    `layer.4`.

    Raises:
        CausalignError: pyvene is not installed.
    """
    if find_spec("pyvene") is None:
        raise MissingDependency("this needs pyvene: pip install pyvene")
    made = import_module("pyvene").LowRankRotatedSpaceIntervention(embed_dim=of.width, low_rank_dimension=of.rank)
    made.rotate_layer.weight = of.frame.detach().clone()
    return made
