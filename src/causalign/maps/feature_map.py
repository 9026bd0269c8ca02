"""A map onto features that are given rather than trained: units, principal components, or an autoencoder's."""

from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from typing_extensions import override

from causalign.errors import FileFormatError
from causalign.maps.base import AlignmentMap


@dataclass(frozen=True, eq=False)
class Encoder:
    """The encoder of features, f = relu(h E + b), or f = h E + b."""

    weight: Float[Tensor, "width rank"]
    """E, a column for each feature."""
    bias: Float[Tensor, " rank"]
    """b, an entry for each feature."""
    relu: bool
    """Whether negative features are set to 0."""

    def __call__(self, states: Float[Tensor, "*rows width"]) -> Float[Tensor, "*rows rank"]:
        """Return the features of states."""
        linear = states @ self.weight.to(states.dtype) + self.bias.to(states.dtype)
        return linear.relu() if self.relu else linear

    def part(self, kept: Bool[Tensor, " rank"]) -> "Encoder":
        """Return the encoder of some of the features."""
        return Encoder(self.weight[:, kept], self.bias[kept], self.relu)


@dataclass(frozen=True, eq=False, repr=False)
class FeatureMap(AlignmentMap):
    """A map onto given features. Its rank is the number of features that are swapped.

    An interchange is h' = h_t + D (f_s - f_t), where f are the features of a state and the columns of D, the frame, are
    their directions. Without an encoder, the directions are orthonormal and f = D^T h.
    """

    features: Int[Tensor, " rank"] = field(kw_only=True)
    """The numbers of the features, from 0: of units, of principal components (by variance), or of an autoencoder's
    features."""
    encoder: Encoder | None = field(default=None, kw_only=True)
    """The encoder. `None` where the directions themselves read the features."""

    @override
    def coordinates(self, states: Float[Tensor, "*rows width"]) -> Float[Tensor, "*rows rank"]:
        return super().coordinates(states) if self.encoder is None else self.encoder(states)

    @override
    def part(self, kept: Bool[Tensor, " rank"]) -> "FeatureMap":
        encoder = None if self.encoder is None else self.encoder.part(kept)
        return replace(self, frame=self.frame[:, kept], mask=None, features=self.features[kept], encoder=encoder)

    @override
    def to(self, device: torch.device, dtype: torch.dtype) -> "FeatureMap":
        encoder = self.encoder
        if encoder is not None:
            encoder = Encoder(encoder.weight.to(device, dtype), encoder.bias.to(device, dtype), encoder.relu)
        frame, features = self.frame.to(device, dtype), self.features.to(device)
        return replace(self, frame=frame, features=features, encoder=encoder)

    @override
    def require_map(self, where: str) -> None:
        encoder = self.encoder
        if encoder is None:
            super().require_map(where)
        elif not all(bool(torch.isfinite(each).all()) for each in (self.frame, encoder.weight, encoder.bias)):
            raise FileFormatError(f"{where}: the map has entries that are not finite")

    @override
    def tensors(self) -> dict[str, Tensor]:
        saved = super().tensors() | {"features": self.features}
        if self.encoder is not None:
            relu = torch.tensor(self.encoder.relu)
            saved |= {"encoder": self.encoder.weight, "bias": self.encoder.bias, "relu": relu}
        return saved

    def __repr__(self) -> str:
        kind = "" if self.encoder is None else ", an encoder"
        return f"FeatureMap(width {self.width}, {self.rank} feature{'' if self.rank == 1 else 's'}{kind})"
