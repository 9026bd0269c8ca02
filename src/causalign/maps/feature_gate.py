"""The feature gate of differential binary masking: each feature is swapped or not, whichever the others are."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from typing_extensions import override

from causalign.maps.gate import Gate


class FeatureGate(Gate):
    """m_j = sigmoid(p_j / T) with a parameter p_j for each feature j, which starts at 0.

    This is differential binary masking (De Cao et al., 2020; Davies et al., 2023). The penalty is weight * mean(m), an
    L1 norm. Hard, the mask keeps the features with p_j > 0, and the one with the greatest p_j if there are none.

    Args:
        features: The number of features.
        temperatures: The first and the last temperature T.
        weight: The weight of the penalty.
    """

    learning_rate = 2e-2

    def __init__(self, features: int, temperatures: tuple[float, float], weight: float) -> None:
        super().__init__(temperatures, weight)
        self.logits = nn.Parameter(torch.zeros(features))

    @override
    def forward(self) -> Float[Tensor, " rank"]:
        return (self.logits / self.temperature).sigmoid()

    @override
    def kept(self) -> Bool[Tensor, " rank"]:
        logits = self.logits.detach()
        greatest = torch.arange(len(logits), device=logits.device) == logits.argmax()
        return (logits > 0) | (greatest & (logits <= 0).all())

    @override
    def penalty(self) -> Float[Tensor, ""]:
        return self.weight * self().mean()
