"""A map that is not trained itself: only the gate of its coordinates is."""

from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar

from torch import Tensor
from typing_extensions import override

from causalign.maps.base import AlignmentMap, TrainableMap


class ConstantMap(TrainableMap):
    """A map as it is given, such as one onto the units of a network. Its gate may be trained."""

    name = "constant"
    learning_rates: ClassVar[Mapping[str, float]] = {"adam": 1e-3}

    def __init__(self, start: AlignmentMap) -> None:
        super().__init__(start, train_scale=False)
        self.start = start

    @override
    def frame(self) -> Tensor:
        return self.start.frame

    @override
    def forward(self) -> AlignmentMap:
        return self.start if self.gate is None else replace(self.start, mask=self.gate())
