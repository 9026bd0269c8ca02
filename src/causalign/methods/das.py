"""Distributed Alignment Search: MAS of one network (Geiger et al., 2024)."""

from dataclasses import dataclass
from typing import ClassVar

from causalign.counterfactuals.direction import Direction
from causalign.methods.base import Method, require_latent_weight, require_single_states
from causalign.search.objectives import Objective


@dataclass(frozen=True)
class DAS(Method):
    """Train the one direction of a network into itself on behavior.

    Attributes:
        stepwise: Whether the states of all positions up to the swap's are interchanged.
        latent_weight: The weight of the distance to counterfactual latents (equation 8).
    """

    stepwise: bool = False
    latent_weight: float = 0.0

    name: ClassVar[str] = "das"
    n_sites: ClassVar[int] = 1

    def __post_init__(self) -> None:
        require_latent_weight(self.name, self.latent_weight)
        require_single_states(self.name, self.stepwise, self.latent_weight)

    def objectives(self, n_sites: int) -> dict[Direction, Objective]:
        """Return behavior, and the latent part if it has weight, of the network into itself."""
        return dict.fromkeys((Direction(site, site) for site in range(n_sites)), Objective(latent=self.latent_weight))
