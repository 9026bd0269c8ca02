"""Model stitching, by behavior or by latents: section 2.5."""

from dataclasses import dataclass
from typing import ClassVar

from causalign.counterfactuals.direction import Direction
from causalign.counterfactuals.interventions import Swap, replace
from causalign.methods.base import Method, require_latent_weight
from causalign.search.objectives import Objective


@dataclass(frozen=True)
class Stitch(Method):
    """Replace the second network's whole state by the mapped state of the first, trained on behavior.

    The way back is scored as well, without having been trained.

    Attributes:
        latent_weight: The weight of the distance to counterfactual latents (equation 8).
    """

    latent_weight: float = 0.0

    name: ClassVar[str] = "stitch"
    n_sites: ClassVar[int] = 2

    def __post_init__(self) -> None:
        require_latent_weight(self.name, self.latent_weight)

    @property
    def intervention(self) -> Swap:
        """Replace the whole state."""
        return replace

    def objectives(self, n_sites: int) -> dict[Direction, Objective]:  # noqa: ARG002 (there are always two)
        """Return behavior from the first site into the second."""
        return {Direction(0, 1): Objective(latent=self.latent_weight)}

    def untrained(self, n_sites: int) -> list[Direction]:  # noqa: ARG002
        """Return the way back."""
        return [Direction(1, 0)]


@dataclass(frozen=True)
class LatentStitch(Method):
    """Replace the second network's whole state by the mapped state of the first, trained on counterfactual latents.

    No network is run during the search. The way back is scored as well.
    """

    name: ClassVar[str] = "latent-stitch"
    n_sites: ClassVar[int] = 2

    @property
    def intervention(self) -> Swap:
        """Replace the whole state."""
        return replace

    def objectives(self, n_sites: int) -> dict[Direction, Objective]:  # noqa: ARG002
        """Return latents from the first site into the second."""
        return {Direction(0, 1): Objective(behavior=0.0, latent=1.0)}

    def untrained(self, n_sites: int) -> list[Direction]:  # noqa: ARG002
        """Return the way back."""
        return [Direction(1, 0)]
