"""The input checks of all similarity measures."""

from typing import Any

import numpy as np
from jaxtyping import Float

from causalign.arrays import float64
from causalign.errors import InvalidArgument

Samples = Float[np.ndarray, "samples width"]
SamplesX = Float[np.ndarray, "samples width_x"]
SamplesY = Float[np.ndarray, "samples width_y"]


def paired(x: Any, y: Any, fewest: int = 3) -> tuple[SamplesX, SamplesY]:
    """Return both inputs as float64 matrices `[samples, width]` whose rows are the same samples.

    Each is divided by a power of two, so that its largest entry is between 1/2 and 1. No measure depends on the scale,
    and the squares of very small and very large entries stay within the range of float64.

    Raises:
        InvalidArgument: An input is not a matrix of real numbers or has NaN, masked or infinite entries, the numbers of
            samples differ, or there are fewer than `fewest`.
    """
    arrays = [float64(a, which) for a, which in zip((x, y), "xy", strict=True)]
    for which, array in zip("xy", arrays, strict=True):
        if array.ndim != 2:
            raise InvalidArgument(f"{which} must be [samples, width], found the shape {list(array.shape)}")
        if not array.shape[1]:
            raise InvalidArgument(f"{which} has no unit: its shape is {list(array.shape)}")
        if not np.isfinite(array).all():
            raise InvalidArgument(
                f"{which} has NaN, masked or infinite entries in {(~np.isfinite(array)).any(1).sum()} samples"
            )
    if len(arrays[0]) != len(arrays[1]) or len(arrays[0]) < fewest:
        raise InvalidArgument(
            f"x and y need the same samples, at least {fewest}; found {len(arrays[0])} and {len(arrays[1])}"
        )
    return _unit_scale(arrays[0]), _unit_scale(arrays[1])


def _unit_scale(samples: Samples) -> Samples:
    return np.ldexp(samples, -int(np.frexp(np.abs(samples).max(initial=0.0))[1]))  # exact, but for subnormal numbers


def refuse_zero_rows(samples: Samples, which: str) -> None:
    """Check that no sample is all zero, since its cosine would be undefined.

    Raises:
        InvalidArgument: Some samples are all zero.
    """
    zero = int((~samples.any(axis=1)).sum())
    if zero:
        raise InvalidArgument(f"{which} has {zero} all-zero samples, whose cosine is undefined")
