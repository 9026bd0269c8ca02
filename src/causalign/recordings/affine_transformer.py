"""A fitted scikit-learn transformer as a pair of affine maps, which can be saved without pickling."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Num
from torch import Tensor

from causalign.errors import InvalidArgument
from causalign.recordings.precision import as_precise

_TOLERANCE = 1e-5  # relative to the largest value; transformers in single precision are affine within this error


@dataclass(frozen=True, eq=False)
class AffineTransformer:
    """The affine maps of a fitted transformer: `states = (activity - b) A + a` and `activity = states B + b`.

    Scalers, PCA, factor analysis, whitening, and pipelines of these are affine. The origin b is the activity whose
    states are 0, such as the mean, so that no digits are lost where the offset of the activity is large. Both maps are
    found by transforming an origin and a step along each axis, and are checked on random activity.

    Attributes:
        forward: The matrix A, `[units, width]`.
        offset: The states a of the origin, `[width]`: 0 but for rounding, if the transformer keeps all dimensions.
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
        there, back = f"{name}.transform", f"{name}.inverse_transform"
        width = _applied(transformer.transform, np.zeros((1, len(units))), there).shape[1]
        origin = _applied(transformer.inverse_transform, np.zeros((1, width)), back)[0]
        if len(origin) != len(units):
            raise InvalidArgument(f"{back} returns {len(origin)} units, but {len(units)} were recorded")
        step = 2.0 ** np.ceil(np.log2(max(1.0, float(np.abs(origin).max(initial=0.0)))))
        forward, offset = _affine(transformer.transform, origin, step, there)
        backward, origin = _affine(transformer.inverse_transform, np.zeros(width), step, back)
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
        return same and torch.equal(self.offset * self.unit, self.origin)

    def measured_in(self, unit: float) -> "AffineTransformer":
        """Return the transformer whose states are divided by `unit`."""
        parts = self.forward / unit, self.offset / unit, self.backward * unit, self.origin
        return AffineTransformer(*parts, unit=self.unit * unit)

    def apply(self, activity: Num[Tensor, "*samples units"]) -> Float[Tensor, "*samples width"]:
        """Return the states of recorded activity, computed in double precision.

        They have the precision of the activity, and double precision if it is of whole numbers.
        """
        return as_precise((activity.cpu().double() - self.origin) @ self.forward + self.offset, activity)

    def of_rows(self, activity: Float[np.ndarray, "samples units"]) -> Float[np.ndarray, "samples width"]:
        """Return the states of samples of activity."""
        return (activity - self.origin.numpy()) @ self.forward.numpy() + self.offset.numpy()

    def undo(self, states: Float[Tensor, "*samples width"]) -> Float[Tensor, "*samples units"]:
        """Return the recorded activity that has these states, computed in double precision, in that of the states."""
        return as_precise(states.cpu().double() @ self.backward + self.origin, states)

    def tensors(self) -> dict[str, Tensor]:
        """Return all tensors, to be saved."""
        maps = {"forward": self.forward, "offset": self.offset, "backward": self.backward, "origin": self.origin}
        return maps | {"unit": torch.tensor(self.unit, dtype=torch.float64)}

    @classmethod
    def of_tensors(cls, saved: Mapping[str, Tensor]) -> "AffineTransformer":
        """Return the transformer whose tensors were saved."""
        return cls(saved["forward"], saved["offset"], saved["backward"], saved["origin"], unit=float(saved["unit"]))


def _affine(
    transform: Any, origin: Float[np.ndarray, " width"], step: float, name: str
) -> tuple[Float[np.ndarray, "width other"], Float[np.ndarray, " other"]]:
    """Return the matrix A and the vector a of an affine function of rows, x -> (x - origin) A + a.

    Args:
        transform: The function.
        origin: The origin.
        step: The step along each axis: a power of two no smaller than the origin, so that neither it nor its image is
            lost in rounding.
        name: The name of the function in messages.

    Raises:
        InvalidArgument: The function cannot be applied to rows of this width, or is not affine.
    """
    width = len(origin)
    random = np.random.default_rng(0).normal(size=(8, width)) * step
    at_origin, *units = _applied(transform, origin + np.vstack([np.zeros((1, width)), step * np.eye(width)]), name)
    matrix = (np.stack(units) - at_origin) / step
    expected = _applied(transform, origin + random, name)
    off = float(np.abs(random @ matrix + at_origin - expected).max())
    if not off <= _TOLERANCE * max(1.0, float(np.abs(expected).max())):
        raise InvalidArgument(f"{name} is not affine (it is off by {off:.2g}), so it cannot be saved with the maps")
    return matrix, at_origin


def _applied(transform: Any, rows: Float[np.ndarray, "rows width"], name: str) -> Float[np.ndarray, "rows other"]:
    """Return a function of some rows.

    Raises:
        InvalidArgument: It cannot be applied to rows of this width.
    """
    try:
        return np.asarray(transform(rows), dtype=np.float64)
    except Exception as error:  # scikit-learn raises errors of many types, whose messages name the problem
        reason = str(error).splitlines()[0]
        raise InvalidArgument(f"{name} cannot be applied to {rows.shape[1]} columns: {reason}") from None
