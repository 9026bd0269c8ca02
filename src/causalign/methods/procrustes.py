"""Generalized Procrustes on paired states, scored causally: a baseline without a search."""

from dataclasses import dataclass
from typing import ClassVar

from causalign.counterfactuals.direction import Direction
from causalign.counterfactuals.interventions import Swap, replace
from causalign.methods.base import Method, every_direction
from causalign.search.objectives import Objective


@dataclass(frozen=True)
class Procrustes(Method):
    """Take the rotations that bring states of the same inputs closest together, and train nothing."""

    name: ClassVar[str] = "procrustes"
    n_sites: ClassVar[int] = 2
    more_sites: ClassVar[bool] = True
    start: ClassVar[str | None] = "paired"
    searches: ClassVar[bool] = False

    @property
    def intervention(self) -> Swap:
        """Replace the whole state."""
        return replace

    def objectives(self, n_sites: int) -> dict[Direction, Objective]:
        """Return behavior between every two different sites: it is scored, not trained."""
        return {each: Objective() for each in every_direction(n_sites) if each.source != each.target}
