"""A trainable map with a subspace for each of several positions of a row."""

from collections.abc import Callable
from dataclasses import replace
from typing import cast

from jaxtyping import Float
from torch import Tensor, nn
from typing_extensions import override

from causalign.maps.base import AlignmentMap, TrainableMap
from causalign.maps.position_map import PositionMap


class TrainablePositionMap(TrainableMap):
    """A trainable map for each position, of one parametrization. They share a gate, if there is one.

    Args:
        start: The map that the training starts from.
        trainable: Makes the trainable map of one position from its start.
    """

    def __init__(self, start: PositionMap, trainable: Callable[[AlignmentMap], TrainableMap]) -> None:
        super().__init__(start.position(0), train_scale=False)
        self.of_positions = nn.ModuleList(trainable(each) for each in start.by_position)

    @property
    @override
    def parts(self) -> tuple[TrainableMap, ...]:
        return tuple(cast("TrainableMap", each) for each in self.of_positions)

    @override
    def frame(self) -> Float[Tensor, "positions width rank"]:
        return self().frame

    @override
    def forward(self) -> PositionMap:
        stacked = PositionMap.stacked([part() for part in self.parts])
        return stacked if self.gate is None else replace(stacked, mask=self.gate())
