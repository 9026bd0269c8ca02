"""Differential binary masking: which units, principal components or other features of one network are swapped."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from causalign.counterfactuals.direction import Direction
from causalign.errors import InvalidArgument, lookup
from causalign.maps.feature_basis import FeatureBasis, PrincipalComponents, Units
from causalign.maps.features import Features, SavedFeatures
from causalign.maps.gate import require_temperatures, require_weight
from causalign.methods.base import Method, require_latent_weight
from causalign.search.feature_mask import FeatureMask
from causalign.search.objectives import Objective

BASES: Mapping[str, type[FeatureBasis]] = {"units": Units, "pca": PrincipalComponents}
"""The feature bases by name."""
_SAVED = {"fingerprint", "size", "nonlinearity"}


@dataclass(frozen=True)
class DBM(Method):
    """Swap some of a network's features, chosen by a learned mask; the features themselves are not trained.

    Differential binary masking (De Cao et al., 2020) over the features that the Mechanistic Interpretability Benchmark
    compares (Mueller et al., 2025). The mask is soft during the search, sigmoid(p / T) with a falling temperature T.
    The features with p > 0 at the last step are swapped. Validation does not choose a step, because the maps of early
    steps swap more features.

    Attributes:
        features: `units`, `pca` (the principal components of the training states), or `Features(encoder, decoder)`.
        mask_weight: The weight of the L1 penalty on the mask: the loss that swapping all features may cost.
        mask_temperatures: The first and the last temperature of the mask.
        latent_weight: The weight of the distance to counterfactual latents (equation 8).

    Raises:
        InvalidArgument: The features are unknown, or a number is out of its range.
    """

    features: str | Features | Mapping[str, Any] = "units"
    mask_weight: float = 1.0
    mask_temperatures: Sequence[float] = (1.0, 0.01)
    latent_weight: float = 0.0

    name: ClassVar[str] = "dbm"
    n_sites: ClassVar[int] = 1

    def __post_init__(self) -> None:
        if isinstance(self.features, str):
            lookup("feature basis", self.features, BASES)
        elif not isinstance(self.features, Features) and (
            not isinstance(self.features, Mapping) or set(self.features) != _SAVED
        ):
            raise InvalidArgument(
                f"features of dbm are 'units', 'pca' or Features(encoder, decoder); found {self.features!r}"
            )
        require_weight("mask_weight", self.mask_weight)
        require_latent_weight(self.name, self.latent_weight)
        temperatures = require_temperatures("mask_temperatures", self.mask_temperatures)
        object.__setattr__(self, "mask_temperatures", temperatures)

    @property
    def basis(self) -> FeatureBasis:
        """The features that the mask chooses from."""
        if isinstance(self.features, str):
            return BASES[self.features]()
        return self.features if isinstance(self.features, Features) else SavedFeatures(self.features)

    @property
    def rank(self) -> FeatureMask:
        """The mask, which finds how many features are swapped."""
        first, last = self.mask_temperatures
        return FeatureMask(self.mask_weight, (first, last))

    @property
    def label(self) -> str:
        """The name in tables and figures."""
        return self.name if self.features == "units" else f"{self.name}-{self._features_name}"

    @property
    def _features_name(self) -> str:
        return self.features if isinstance(self.features, str) else "features"

    @property
    def parameters(self) -> dict[str, Any]:
        """The name and the parameters, as results have them."""
        return super().parameters | {"features": self.basis.declaration}

    def objectives(self, n_sites: int) -> dict[Direction, Objective]:
        """Return behavior, and the latent part if it has weight, of the network into itself."""
        return dict.fromkeys((Direction(site, site) for site in range(n_sites)), Objective(latent=self.latent_weight))
