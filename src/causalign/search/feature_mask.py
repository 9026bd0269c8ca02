"""The feature mask: which of some given features are swapped, learned by differential binary masking."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from causalign.errors import InvalidArgument
from causalign.maps.feature_gate import FeatureGate
from causalign.search.config import SearchConfig
from causalign.search.rank_selection import RankSearches, RankSelection, RankTrial
from causalign.search.search import SearchResult


@dataclass(frozen=True)
class FeatureMask(RankSelection):
    """The features whose mask is above 1/2 when its temperature has come to its end. Their number is the rank.

    Attributes:
        weight: The weight of the L1 penalty: the loss that swapping all features may cost.
        temperatures: The first and the last temperature.
        size: The number of features of a search without steps, which swaps its starting maps.
    """

    weight: float
    temperatures: tuple[float, float]
    size: int | None = None

    trains = True
    keeps_last = True

    def ranks(self, full_rank: int) -> tuple[int, ...]:
        """Return the number of features."""
        return (self.size or full_rank,)

    def of_variables(self, variables: Sequence[str]) -> "FeatureMask":
        """Return the mask, which is of one variable.

        Raises:
            InvalidArgument: There are several.
        """
        if len(variables) > 1:
            raise InvalidArgument(
                f"the dataset has the variables {', '.join(variables)}, and a mask of features is of one: make a "
                "dataset of the rows of each"
            )
        return self

    def require_steps(self, config: SearchConfig) -> None:
        """Check that there is a step, and that no IIA ends the search before the temperature has come to its end.

        Raises:
            InvalidArgument: There is no step, or `target_iia` is set.
        """
        if config.max_steps == 0:
            raise InvalidArgument(
                "the mask of the features takes at least one step: max_steps must be above 0; found 0"
            )
        if config.target_iia is not None:
            raise InvalidArgument("the mask of the features is learned in max_steps steps: leave out target_iia")

    def gate(self, rank: int) -> FeatureGate:
        """Return the gate that is learned."""
        return FeatureGate(rank, self.temperatures, self.weight)

    def settled(self, rank: int) -> "FeatureMask":
        """Return this selection, whose random control has so many features."""
        return replace(self, size=rank)

    def find(self, searches: RankSearches) -> tuple[SearchResult, list[RankTrial]]:
        """Learn the mask in all of the steps. Without any, swap the starting maps."""
        (size,) = self.ranks(searches.full_rank)
        maps = searches.starting_maps(size)
        if searches.config.max_steps == 0:
            return searches.run(maps), []
        return searches.learn(maps, self.gate(maps[0].rank), searches.config.max_steps), []

    @property
    def declaration(self) -> dict[str, Any]:
        """The parameters."""
        return {"weight": self.weight, "temperatures": list(self.temperatures)}
