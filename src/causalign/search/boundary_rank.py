"""The boundary rank: the rank is learned by gradient descent, as in boundless DAS (Wu et al., 2023)."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from causalign.errors import InvalidArgument
from causalign.maps.boundary_gate import BoundaryGate
from causalign.maps.gate import require_temperatures, require_weight
from causalign.search.config import SearchConfig
from causalign.search.rank_selection import RankSearches, RankSelection, RankTrial, trial_of, whole_number
from causalign.search.search import SearchResult


@dataclass(frozen=True)
class BoundaryRank(RankSelection):
    """The rank at which a learned boundary comes to rest.

    The maps begin with `max_rank` coordinates. Coordinate j is swapped by the share sigmoid((b - j - 1/2) / T), with
    one boundary b for all networks. It starts at half of `max_rank`, and the penalty `boundary_weight` * b / `max_rank`
    lowers it. The temperature T falls by the same factor in every step, until the shares are nearly 0 or 1. Then b is
    rounded: the coordinates below it are the subspace, at least one. Validation has no say in that. The schedule always
    runs to its end, because the maps of early steps swap more coordinates and would often score higher.

    The search then goes on from these maps at that rank, as any search does, for the steps that are left. Its maps are
    those of the best evaluation on validation, with a hard boundary.

    Attributes:
        max_rank: The rank to begin at. By default the least width of the sites.
        boundary_weight: The weight of the penalty: the loss that swapping all of `max_rank` may cost.
        boundary_steps: The steps in which the boundary is learned. By default half of `SearchConfig.max_steps`.
        boundary_temperatures: The first and the last temperature, in coordinates. By default a tenth of `max_rank` (at
            least 1), and 0.1.

    Raises:
        InvalidArgument: A number is out of its range.
    """

    max_rank: int | None = None
    boundary_weight: float = 1.0
    boundary_steps: int | None = None
    boundary_temperatures: Sequence[float] | None = None

    trains = True

    def __post_init__(self) -> None:
        for name in ("max_rank", "boundary_steps"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, whole_number(name, getattr(self, name)))
        require_weight("boundary_weight", self.boundary_weight)
        if self.boundary_temperatures is not None:
            temperatures = require_temperatures("boundary_temperatures", self.boundary_temperatures)
            object.__setattr__(self, "boundary_temperatures", temperatures)

    def ranks(self, full_rank: int) -> tuple[int, ...]:
        """Return the rank to begin at."""
        return (self.max_rank or full_rank,)

    def require_steps(self, config: SearchConfig) -> None:
        """Check that there is a step for the boundary, and one for the search at the rank that it finds.

        Raises:
            InvalidArgument: There are fewer steps.
        """
        least = 1 + (self.boundary_steps or 1)
        if config.max_steps < least:
            raise InvalidArgument(
                f"{self} learns the boundary and then searches at its rank: max_steps must be at least {least}; "
                f"found {config.max_steps}"
            )

    def gate(self, rank: int) -> BoundaryGate:
        """Return the gate whose boundary is learned."""
        first, last = self.boundary_temperatures or (max(1.0, rank / 10), 0.1)
        return BoundaryGate(rank, (first, last), self.boundary_weight)

    def find(self, searches: RankSearches) -> tuple[SearchResult, list[RankTrial]]:
        """Learn the boundary, and search at its rank."""
        (rank,) = self.ranks(searches.full_rank)
        steps = self.boundary_steps or searches.config.max_steps // 2
        learned = searches.learn(searches.starting_maps(rank), self.gate(rank), steps)
        if not learned.stopped.complete:
            return learned, [trial_of(learned)]
        found = searches.begin(learned.maps).go_on(searches.config.max_steps - steps, searches.callback)
        trials = [trial_of(learned), trial_of(found)]
        history = tuple(replace(each, step=each.step + steps) for each in found.history)
        best = replace(found.best, step=found.best.step + steps)
        return replace(found, steps=found.steps + steps, history=history, best=best), trials

    @property
    def declaration(self) -> dict[str, Any]:
        """The parameters."""
        return asdict(self)
