"""Interchanges: the swaps, and the interventions that say what should follow them."""

from causalign.interchange.draw import Recorded, draw_interventions, record, record_all
from causalign.interchange.interventions import Direction, Interventions, Run, run_swapped
from causalign.interchange.swap import Swap, interchange, interchange_rotated, keep, replace

__all__ = [
    "Direction",
    "Interventions",
    "Recorded",
    "Run",
    "Swap",
    "draw_interventions",
    "interchange",
    "interchange_rotated",
    "keep",
    "record",
    "record_all",
    "replace",
    "run_swapped",
]
