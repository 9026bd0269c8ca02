"""Model Alignment Search: equations 3 to 6."""

from dataclasses import dataclass
from typing import ClassVar

from causalign.counterfactuals.direction import Direction
from causalign.methods.base import Method, every_direction, require_latent_weight, require_single_states
from causalign.search.objectives import Objective


@dataclass(frozen=True)
class MAS(Method):
    """Train all n^2 directions on behavior, each network with itself included (equation 6).

    Attributes:
        stepwise: Whether the states of all positions up to the swap's are interchanged.
        latent_weight: The weight of the distance to counterfactual latents (equation 8) in every direction. Above 0 it
            keeps swapped states near natural ones.
    """

    stepwise: bool = False
    latent_weight: float = 0.0

    name: ClassVar[str] = "mas"
    n_sites: ClassVar[int] = 2
    more_sites: ClassVar[bool] = True

    def __post_init__(self) -> None:
        require_latent_weight(self.name, self.latent_weight)
        require_single_states(self.name, self.stepwise, self.latent_weight)

    def objectives(self, n_sites: int) -> dict[Direction, Objective]:
        """Return behavior, and the latent part if it has weight, in every direction."""
        return dict.fromkeys(every_direction(n_sites), Objective(latent=self.latent_weight))
