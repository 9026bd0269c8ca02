"""The optimization problem of a search: sites, objectives and rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from jaxtyping import Float
from torch import Tensor

from causalign.counterfactuals.direction import Direction
from causalign.counterfactuals.interventions import Swap, intervene
from causalign.counterfactuals.rows import CounterfactualRows
from causalign.engine.batch import Batch
from causalign.maps.base import AlignmentMap
from causalign.search.config import PRECISIONS
from causalign.search.objectives import Objective
from causalign.sites.readable import Readable


@dataclass(frozen=True)
class Problem:
    """The optimization problem: sites, the intervention, the objective of each trained direction, and rows."""

    sites: Sequence[Readable]
    swap: Swap
    objectives: Mapping[Direction, Objective]
    """The objective of each trained direction."""
    train: Mapping[Direction, CounterfactualRows]
    """The training rows of each direction."""
    validation: Mapping[Direction, CounterfactualRows]
    """The validation rows of each direction."""

    def at(self, precision: str | None) -> "Problem":
        """Return the same problem, with copies of the networks at another precision (a key of `PRECISIONS`)."""
        if precision is None:
            return self
        return replace(self, sites=[site.cast(PRECISIONS[precision]) for site in self.sites])

    def by_objective(self, of: Mapping[Direction, CounterfactualRows]) -> list[tuple[Objective, list[Direction]]]:
        """Return the directions in `of`, grouped by their objective."""
        kinds = dict.fromkeys(self.objectives.values())
        grouped = [(kind, [d for d in of if self.objectives[d] == kind]) for kind in kinds]
        return [(kind, directions) for kind, directions in grouped if directions]

    def swapped(
        self, directions: Sequence[Direction], batches: Sequence[Batch], maps: Sequence[AlignmentMap]
    ) -> list[Float[Tensor, "rows ... width"]]:
        """Return the target states after the swap, for a batch of each direction."""
        return [
            intervene(self.swap, batch, maps[target], maps[source])
            for batch, (source, target) in zip(batches, directions, strict=True)
        ]
