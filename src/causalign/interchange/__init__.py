"""Interchanges: the swaps, and the interventions that say what should follow them."""

from causalign.interchange.draw import draw_interventions
from causalign.interchange.interventions import Batch, Direction, Interventions, Run, run_swapped
from causalign.interchange.recorded import (
    MOST_TRIALS,
    Recorded,
    lengthened,
    record,
    record_all,
    record_together,
    require_same_trials,
)
from causalign.interchange.store import DEFAULT_BUDGET, Store, forget_mapped_pages
from causalign.interchange.swap import Swap, interchange, interchange_rotated, keep, replace
from causalign.interchange.upstream import Upstream

__all__ = [
    "DEFAULT_BUDGET",
    "MOST_TRIALS",
    "Batch",
    "Direction",
    "Interventions",
    "Recorded",
    "Run",
    "Store",
    "Swap",
    "Upstream",
    "draw_interventions",
    "forget_mapped_pages",
    "interchange",
    "interchange_rotated",
    "keep",
    "lengthened",
    "record",
    "record_all",
    "record_together",
    "replace",
    "require_same_trials",
    "run_swapped",
]
