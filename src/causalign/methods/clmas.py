"""Counterfactual-latent MAS: equations 7 to 9."""

from dataclasses import dataclass
from operator import index
from typing import ClassVar, SupportsIndex

from causalign.counterfactuals.direction import Direction
from causalign.errors import InvalidArgument
from causalign.methods.base import Method, every_direction, require_latent_weight
from causalign.search.objectives import Objective


@dataclass(frozen=True)
class CLMAS(Method):
    """Train behavior into the accessible network, and latents into the one that may be read but not run.

    Attributes:
        inaccessible: The index of the site whose network is not run. By default the last.
        latent_weight: The weight of the latent part (epsilon of equation 9). The default is large because equation 5 is
            a sum over tokens, and equation 8 a mean over units.
    """

    inaccessible: int = -1
    latent_weight: float = 100.0

    name: ClassVar[str] = "clmas"
    n_sites: ClassVar[int] = 2

    def __post_init__(self) -> None:
        require_latent_weight(self.name, self.latent_weight, positive=True)
        site: object = self.inaccessible
        if not isinstance(site, SupportsIndex) or isinstance(site, bool) or index(site) not in range(-2, 2):
            raise InvalidArgument(f"inaccessible is the index of one of 2 sites, found {self.inaccessible!r}")
        object.__setattr__(self, "inaccessible", index(site))

    def objectives(self, n_sites: int) -> dict[Direction, Objective]:
        """Return latents into the inaccessible network, behavior into the other."""
        inaccessible = self.inaccessible % n_sites
        latent = Objective(behavior=0.0, latent=self.latent_weight)
        return {each: latent if each.target == inaccessible else Objective() for each in every_direction(n_sites)}
