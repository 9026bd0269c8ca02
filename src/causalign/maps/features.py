"""Features of an encoder and a decoder, such as a sparse autoencoder's."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from typing_extensions import override

from causalign.errors import InvalidArgument, lookup
from causalign.maps.feature_basis import FeatureBasis, States
from causalign.maps.feature_map import Encoder, FeatureMap

NONLINEARITIES = {"relu": True, "none": False}


@dataclass(frozen=True, eq=False, repr=False)
class Features(FeatureBasis):
    """Features f = relu(h E + b) of a state h, with directions D: those of a sparse autoencoder, or any others.

    A swap of features m is h' = h_t + (m (f_s - f_t)) D, so that what the decoder does not reconstruct stays. The
    decoder's own bias cancels. A bias c that is subtracted from the state before the encoder belongs into b:
    b - c E.

    Attributes:
        encoder: E, `[width, features]`.
        decoder: D, `[features, width]`.
        bias: b, `[features]`. By default 0.
        nonlinearity: `relu` or `none`.

    Raises:
        InvalidArgument: The shapes do not fit each other, an entry is not finite, or the nonlinearity is unknown.
    """

    encoder: Float[Tensor, "..."]
    decoder: Float[Tensor, "..."]
    bias: Float[Tensor, "..."] | None = None
    nonlinearity: str = "relu"

    noun = "features"

    def __post_init__(self) -> None:
        for name in ("encoder", "decoder", "bias"):
            given = getattr(self, name)
            if not isinstance(given, Tensor) and not (name == "bias" and given is None):
                raise InvalidArgument(f"the {name} of features is a tensor; found {type(given).__name__}")
        lookup("nonlinearity", self.nonlinearity, NONLINEARITIES)
        encoder, decoder, bias = (list(each.shape) for each in (self.encoder, self.decoder, self._bias))
        if len(encoder) != 2 or decoder != encoder[::-1] or bias != encoder[1:]:
            raise InvalidArgument(
                "an encoder [width, features] has a decoder [features, width] and a bias [features]; "
                f"found {encoder}, {decoder} and {bias}"
            )
        if not all(bool(torch.isfinite(each).all()) for each in (self.encoder, self.decoder, self._bias)):
            raise InvalidArgument(
                "the encoder, the decoder or the bias of the features has entries that are not finite"
            )

    @property
    def _bias(self) -> Float[Tensor, " features"]:
        return self.encoder.new_zeros(self.encoder.shape[-1]) if self.bias is None else self.bias

    @override
    def feature_map(self, width: int, states: States) -> FeatureMap:
        encoder = Encoder(self.encoder.detach(), self._bias.detach(), NONLINEARITIES[self.nonlinearity])
        features = torch.arange(self.size(width), device=self.encoder.device)
        return FeatureMap(self.decoder.detach().mT, 1.0, features=features, encoder=encoder)

    @override
    def size(self, width: int) -> int:
        return self.encoder.shape[1]

    @override
    def require_width(self, width: int, where: str) -> None:
        if self.encoder.shape[0] != width:
            raise InvalidArgument(
                f"the features are of states of width {self.encoder.shape[0]}, and {where} has width {width}"
            )

    @property
    def declaration(self) -> dict[str, Any]:
        """The fingerprint, the number and the nonlinearity of the features: the map of a result has their weights."""
        digest = hashlib.sha256()
        for each in (self.encoder, self.decoder, self._bias):
            digest.update(each.detach().cpu().double().contiguous().numpy().tobytes())
        return {
            "fingerprint": digest.hexdigest()[:16],
            "size": self.size(0),
            "nonlinearity": self.nonlinearity,
        }

    def __repr__(self) -> str:
        return f"Features({self.encoder.shape[1]} features of width {self.encoder.shape[0]}, {self.nonlinearity})"


class SavedFeatures(FeatureBasis):
    """The features of a saved result, which has the weights of those that are swapped and no others.

    Args:
        declaration: The table that the result has.
    """

    noun = "features"

    def __init__(self, declaration: Mapping[str, Any]) -> None:
        self._declaration = dict(declaration)

    @override
    def size(self, width: int) -> int:
        return int(self._declaration["size"])

    @override
    def require_width(self, width: int, where: str) -> None:
        raise self._missing

    @override
    def feature_map(self, width: int, states: States) -> FeatureMap:
        raise self._missing

    @property
    def _missing(self) -> InvalidArgument:
        return InvalidArgument(
            f"a saved result has no weights of the features {self._declaration['fingerprint']} that are not swapped: "
            "give DBM(features=Features(encoder, decoder)) to search again"
        )

    @property
    def declaration(self) -> dict[str, Any]:
        """The table."""
        return self._declaration
