"""A fitted scikit-learn transformer as a pair of affine maps, so that it can be saved without being pickled."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from causalign.errors import InvalidArgument

_TOLERANCE = 1e-5  # relative to the largest value: transformers in single precision are affine to within this


@dataclass(frozen=True, eq=False)
class AffineTransformer:
    """What a fitted transformer does to activity, and back: `x A + a` and `z B + b`.

    A scaler, PCA, factor analysis, whitening, and pipelines of these are affine. Both maps are found by transforming
    the origin and the unit vectors, and are checked on random activity.

    Attributes:
        forward: A, `[units, width]`.
        offset: a, `[width]`.
        backward: B, `[width, units]`.
        origin: b, `[units]`.
    """

    forward: Float[Tensor, "units width"]
    offset: Float[Tensor, " width"]
    backward: Float[Tensor, "width units"]
    origin: Float[Tensor, " units"]

    @classmethod
    def of(cls, transformer: Any, units: Sequence[str]) -> "AffineTransformer":
        """Return the affine maps of a fitted transformer.

        Raises:
            InvalidArgument: It has no `transform` or `inverse_transform`, is not fitted, is of other units, or is not
                affine.
        """
        name = type(transformer).__name__
        for method in ("transform", "inverse_transform"):
            if not callable(getattr(transformer, method, None)):
                raise InvalidArgument(
                    f"preprocess is a Preprocess, or a fitted transformer as scikit-learn has them; {name} has no "
                    f"{method}"
                )
        forward, offset = _affine(transformer.transform, len(units), f"{name}.transform")
        backward, origin = _affine(transformer.inverse_transform, len(offset), f"{name}.inverse_transform")
        if len(origin) != len(units):
            raise InvalidArgument(f"{name}.inverse_transform gives {len(origin)} units, and {len(units)} were recorded")
        return cls(*(torch.from_numpy(each) for each in (forward, offset, backward, origin)))

    @property
    def width(self) -> int:
        """The width of the states."""
        return len(self.offset)

    @property
    def nothing(self) -> bool:
        """Whether states are the activity as it was recorded."""
        units = len(self.origin)
        return self.width == units and bool((self.forward == torch.eye(units)).all()) and not bool(self.offset.any())

    def apply(self, activity: Float[Tensor, "*samples units"]) -> Float[Tensor, "*samples width"]:
        """Return the states of recorded activity."""
        return activity @ self.forward.to(activity) + self.offset.to(activity)

    def undo(self, states: Float[Tensor, "*samples width"]) -> Float[Tensor, "*samples units"]:
        """Return the activity that has these states."""
        return states @ self.backward.to(states) + self.origin.to(states)

    def tensors(self) -> dict[str, Tensor]:
        """Return all of it, to be saved."""
        return {"forward": self.forward, "offset": self.offset, "backward": self.backward, "origin": self.origin}

    @classmethod
    def of_tensors(cls, saved: Mapping[str, Tensor]) -> "AffineTransformer":
        """Return what was saved."""
        return cls(saved["forward"], saved["offset"], saved["backward"], saved["origin"])


def _affine(
    transform: Any, width: int, name: str
) -> tuple[Float[np.ndarray, "width other"], Float[np.ndarray, " other"]]:
    """The matrix and the offset of a function of rows, which has to be affine."""
    random = np.random.default_rng(0).normal(size=(8, width))
    try:
        offset, *units = np.asarray(transform(np.vstack([np.zeros((1, width)), np.eye(width)])), dtype=np.float64)
        expected = np.asarray(transform(random), dtype=np.float64)
    except Exception as error:  # scikit-learn's errors are of many kinds, and all say what is wrong
        raise InvalidArgument(f"{name} cannot be applied to {width} columns: {str(error).splitlines()[0]}") from None
    matrix = np.stack(units) - offset
    off = float(np.abs(random @ matrix + offset - expected).max())
    if not off <= _TOLERANCE * max(1.0, float(np.abs(expected).max())):
        raise InvalidArgument(f"{name} is not affine: it is off by {off:.2g}, and could not be saved with the maps")
    return matrix, offset
