"""The base of methods: which directions are trained on which objectives, and by which intervention."""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, fields
from typing import Any, ClassVar

from causalign.counterfactuals.direction import Direction
from causalign.counterfactuals.interventions import Swap, interchange
from causalign.errors import InvalidArgument
from causalign.maps.feature_basis import FeatureBasis
from causalign.search.objectives import Objective
from causalign.search.rank_selection import RankSelection


@dataclass(frozen=True)
class Method(ABC):
    """Which directions are trained on which objectives, and by which intervention.

    A method of your own is a frozen dataclass that gives `name`, `n_sites` and `objectives`. Its fields are its
    parameters: they are written into results.

    Attributes:
        name: The name of the method in results.
        n_sites: The number of sites that it takes.
        more_sites: Whether it takes more sites than that.
        start: The start that belongs to the method. By default the one that the configuration names.
        searches: Whether the maps are trained. Otherwise the start is the result.
    """

    name: ClassVar[str]
    n_sites: ClassVar[int]
    more_sites: ClassVar[bool] = False
    start: ClassVar[str | None] = None
    searches: ClassVar[bool] = True

    @abstractmethod
    def objectives(self, n_sites: int) -> dict[Direction, Objective]:
        """Return the trained directions among so many sites, and the objective of each."""

    def untrained(self, n_sites: int) -> list[Direction]:  # noqa: ARG002
        """Return the directions among so many sites that are scored without having been trained."""
        return []

    @property
    def basis(self) -> FeatureBasis | None:
        """The features that the search begins at and does not train. `None` where it trains the maps."""
        return None

    @property
    def rank(self) -> RankSelection | None:
        """The rank selection that belongs to the method. `None` takes that of the configuration."""
        return None

    @property
    def intervention(self) -> Swap:
        """What happens to the target's state: `causalign.interchange`, `causalign.replace`, or a function like them."""
        return interchange

    @property
    def stepwise(self) -> bool:
        """Whether the states of all positions up to the swap's are swapped."""
        return False

    @property
    def label(self) -> str:
        """The name in tables and figures."""
        return f"{self.name}-stepwise" if self.stepwise else self.name

    @property
    def parameters(self) -> dict[str, Any]:
        """The name and the parameters, as results have them."""
        return {"name": self.name} | {field.name: getattr(self, field.name) for field in fields(self)}

    def require_sites(self, n_sites: int) -> None:
        """Check the number of sites.

        Raises:
            InvalidArgument: The method takes another number.
        """
        if n_sites < self.n_sites or (n_sites > self.n_sites and not self.more_sites):
            least = "at least " if self.more_sites else ""
            plural = "" if self.n_sites == 1 else "s"
            raise InvalidArgument(f"{self.label} takes {least}{self.n_sites} site{plural}, found {n_sites}")


def require_latent_weight(method: str, weight: object, *, positive: bool = False) -> None:
    """Check a latent weight.

    Raises:
        InvalidArgument: It is not a finite number, negative, or 0 where it must be positive.
    """
    number = isinstance(weight, int | float) and not isinstance(weight, bool) and 0 <= weight < math.inf
    if not number or (positive and weight == 0):
        bound = "above 0" if positive else "at least 0"
        raise InvalidArgument(f"latent_weight of {method} is a finite number {bound}, found {weight!r}")


def require_single_states(method: str, stepwise: object, latent_weight: float) -> None:
    """Check that stepwise swaps, which have no counterfactual latents, need none.

    Raises:
        InvalidArgument: `stepwise` is not a bool, or both are asked for.
    """
    if not isinstance(stepwise, bool):
        raise InvalidArgument(f"stepwise of {method} is True or False, found {stepwise!r}")
    if stepwise and latent_weight > 0:
        raise InvalidArgument(
            f"{method}-stepwise has no latent objective: counterfactual latents are of single states; "
            "leave latent_weight at 0"
        )


def every_direction(n_sites: int) -> list[Direction]:
    """Return all n^2 ordered pairs of sites, each site with itself included."""
    return [Direction(source, target) for source in range(n_sites) for target in range(n_sites)]
