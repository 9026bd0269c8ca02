"""A fitted scikit-learn transformer as a pair of affine maps, which can be saved without pickling."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from causalign.errors import InvalidArgument

_TOLERANCE = 1e-5  # relative to the largest value; transformers in single precision are affine within this error


@dataclass(frozen=True, eq=False)
class AffineTransformer:
    """The affine maps of a fitted transformer: `states = activity A + a` and `activity = states B + b`.

    Scalers, PCA, factor analysis, whitening, and pipelines of these are affine. Both maps are found by transforming the
    origin and the unit vectors, and are checked on random activity.

    Attributes:
        forward: The matrix A, `[units, width]`.
        offset: The vector a, `[width]`.
        backward: The matrix B, `[width, units]`.
        origin: The vector b, `[units]`.
        unit: The root mean variance of the transformed states, in which they are measured.
    """

    forward: Float[Tensor, "units width"]
    offset: Float[Tensor, " width"]
    backward: Float[Tensor, "width units"]
    origin: Float[Tensor, " units"]
    unit: float = 1.0

    @classmethod
    def of(cls, transformer: Any, units: Sequence[str]) -> "AffineTransformer":
        """Return the affine maps of a fitted transformer.

        Args:
            transformer: A fitted object with `transform` and `inverse_transform`.
            units: The names of the recorded units.

        Raises:
            InvalidArgument: The transformer has no `transform` or `inverse_transform`, is not fitted, was fitted to
                other units, or is not affine.
        """
        name = type(transformer).__name__
        if isinstance(transformer, str | Mapping):
            raise InvalidArgument(
                f"preprocess must be a Preprocess, as in Preprocess(zscore=True); found {transformer!r}"
            )
        for method in ("transform", "inverse_transform"):
            if not callable(getattr(transformer, method, None)):
                raise InvalidArgument(
                    f"preprocess must be a Preprocess or a fitted transformer like those of scikit-learn; {name} has "
                    f"no {method}"
                )
        forward, offset = _affine(transformer.transform, len(units), f"{name}.transform")
        backward, origin = _affine(transformer.inverse_transform, len(offset), f"{name}.inverse_transform")
        if len(origin) != len(units):
            raise InvalidArgument(
                f"{name}.inverse_transform returns {len(origin)} units, but {len(units)} were recorded"
            )
        tensors = [torch.from_numpy(each) for each in (forward, offset, backward, origin)]
        return cls(tensors[0], tensors[1], tensors[2], tensors[3])

    @property
    def width(self) -> int:
        """The width of the states."""
        return len(self.offset)

    @property
    def only_unit(self) -> bool:
        """Whether the states are the recorded activity, but for the unit in which they are measured."""
        scaled = self.forward * self.unit
        same = self.width == len(self.origin) and bool((scaled == torch.eye(self.width).to(scaled)).all())
        return same and not bool(self.offset.any())

    def measured_in(self, unit: float) -> "AffineTransformer":
        """Return the transformer whose states are divided by `unit`."""
        parts = self.forward / unit, self.offset / unit, self.backward * unit, self.origin
        return AffineTransformer(*parts, unit=self.unit * unit)

    def apply(self, activity: Float[Tensor, "*samples units"]) -> Float[Tensor, "*samples width"]:
        """Return the states of recorded activity."""
        return activity @ self.forward.to(activity) + self.offset.to(activity)

    def of_rows(self, activity: Float[np.ndarray, "samples units"]) -> Float[np.ndarray, "samples width"]:
        """Return the states of samples of activity."""
        return activity @ self.forward.numpy() + self.offset.numpy()

    def undo(self, states: Float[Tensor, "*samples width"]) -> Float[Tensor, "*samples units"]:
        """Return the recorded activity that has these states."""
        return states @ self.backward.to(states) + self.origin.to(states)

    def tensors(self) -> dict[str, Tensor]:
        """Return all tensors, to be saved."""
        maps = {"forward": self.forward, "offset": self.offset, "backward": self.backward, "origin": self.origin}
        return maps | {"unit": torch.tensor(self.unit, dtype=torch.float64)}

    @classmethod
    def of_tensors(cls, saved: Mapping[str, Tensor]) -> "AffineTransformer":
        """Return the transformer whose tensors were saved."""
        return cls(saved["forward"], saved["offset"], saved["backward"], saved["origin"], unit=float(saved["unit"]))


def _affine(
    transform: Any, width: int, name: str
) -> tuple[Float[np.ndarray, "width other"], Float[np.ndarray, " other"]]:
    """Return the matrix and the offset of an affine function of rows.

    Raises:
        InvalidArgument: The function cannot be applied to rows of this width, or is not affine.
    """
    random = np.random.default_rng(0).normal(size=(8, width))
    try:
        offset, *units = np.asarray(transform(np.vstack([np.zeros((1, width)), np.eye(width)])), dtype=np.float64)
        expected = np.asarray(transform(random), dtype=np.float64)
    except Exception as error:  # scikit-learn raises errors of many types, whose messages name the problem
        raise InvalidArgument(f"{name} cannot be applied to {width} columns: {str(error).splitlines()[0]}") from None
    matrix = np.stack(units) - offset
    off = float(np.abs(random @ matrix + offset - expected).max())
    if not off <= _TOLERANCE * max(1.0, float(np.abs(expected).max())):
        raise InvalidArgument(f"{name} is not affine (it is off by {off:.2g}), so it cannot be saved with the maps")
    return matrix, offset
