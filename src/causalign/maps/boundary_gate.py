"""The boundary gate of boundless DAS: the first coordinates are swapped, up to a learned boundary."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from typing_extensions import override

from causalign.maps.gate import Gate


class BoundaryGate(Gate):
    """m_j = sigmoid((b - j - 1/2) / T) for the coordinates j = 0, 1, ... and a boundary b (Wu et al., 2023).

    The boundary is b = R sigmoid(p), with R coordinates and a parameter p that starts at 0, so that half of the
    coordinates are swapped at first. The penalty is weight * b / R. The hard mask keeps the coordinates with
    m_j > 1/2. These are b coordinates, rounded.

    Args:
        rank: The number of coordinates R.
        temperatures: The first and the last temperature T, in coordinates.
        weight: The weight of the penalty.
    """

    learning_rate = 5e-2

    def __init__(self, rank: int, temperatures: tuple[float, float], weight: float) -> None:
        super().__init__(temperatures, weight)
        self.rank = rank
        self.position = nn.Parameter(torch.zeros(()))

    @property
    def boundary(self) -> Float[Tensor, ""]:
        """The boundary b, from 0 to the number of coordinates."""
        return self.rank * self.position.sigmoid()

    @override
    def forward(self) -> Float[Tensor, " rank"]:
        return ((self.boundary - self._centers()) / self.temperature).sigmoid()

    @override
    def kept(self) -> Bool[Tensor, " rank"]:
        centers = self._centers()
        return centers < self.boundary.detach().clamp_min(1.0)

    @override
    def penalty(self) -> Float[Tensor, ""]:
        return self.weight * self.boundary / self.rank

    def _centers(self) -> Float[Tensor, " rank"]:
        return torch.arange(self.rank, device=self.position.device, dtype=self.position.dtype) + 0.5
