"""The Gram-Schmidt parametrization: the orthonormalized columns of the subspace alone."""

from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor, nn
from typing_extensions import override

from causalign.maps.base import AlignmentMap, TrainableMap, orthonormal


class GramSchmidt(TrainableMap):
    """V by Gram-Schmidt from a width x rank parameter (section 2.6, equations 10 to 12).

    The cost is linear in the width.
    """

    name = "gram-schmidt"
    learning_rates: ClassVar[Mapping[str, float]] = {"muon": 1e-2, "adam": 3e-3}

    def __init__(self, start: AlignmentMap, train_scale: bool) -> None:
        super().__init__(start, train_scale)
        self.columns = nn.Parameter(start.frame.clone())

    @override
    def frame(self) -> Tensor:
        return orthonormal(self.columns)
