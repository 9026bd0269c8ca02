"""Feature bases: the features of a state that a mask chooses from, with the units and the principal components."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from typing_extensions import override

from causalign.maps.feature_map import FeatureMap

States = Callable[[], Float[Tensor, "states width"]]
"""Returns the training states of a site."""


class FeatureBasis(ABC):
    """The features of a site's states."""

    noun: str
    """What the features are, in the plural."""

    @abstractmethod
    def feature_map(self, width: int, states: States) -> FeatureMap:
        """Return the map onto all of the features.

        Args:
            width: The width of the states.
            states: Returns the training states, where the features are fitted to them.
        """

    @property
    @abstractmethod
    def declaration(self) -> str | dict[str, Any]:
        """The basis as results have it: a name, or a table."""

    def size(self, width: int) -> int:
        """Return the number of features of states of a width."""
        return width

    def require_width(self, width: int, where: str) -> None:  # noqa: B027 (most bases fit every width)
        """Check that the features are of states of a width.

        Raises:
            InvalidArgument: They are of states of another width.
        """


class Units(FeatureBasis):
    """The units of the network: the standard basis."""

    noun = "units"

    @override
    def feature_map(self, width: int, states: States) -> FeatureMap:
        return FeatureMap(torch.eye(width), 1.0, features=torch.arange(width))

    @property
    def declaration(self) -> str:
        """The name."""
        return "units"


class PrincipalComponents(FeatureBasis):
    """The principal components of the training states about their mean, in the order of their variance."""

    noun = "principal components"

    @override
    def feature_map(self, width: int, states: States) -> FeatureMap:
        found = states().double().cpu()
        centered = found - found.mean(0)
        axes = torch.linalg.eigh(centered.mT @ centered).eigenvectors.flip(1)  # eigenvalues ascend
        return FeatureMap(axes.float().contiguous(), 1.0, features=torch.arange(width))

    @property
    def declaration(self) -> str:
        """The name."""
        return "pca"
