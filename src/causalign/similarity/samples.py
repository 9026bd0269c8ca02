"""The input checks of all similarity measures."""

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike
from torch import Tensor

from causalign.errors import InvalidArgument

Samples = Float[np.ndarray, "samples width"]
SamplesX = Float[np.ndarray, "samples width_x"]
SamplesY = Float[np.ndarray, "samples width_y"]


def paired(x: ArrayLike | Tensor, y: ArrayLike | Tensor, fewest: int = 3) -> tuple[SamplesX, SamplesY]:
    """Return both inputs as float64 matrices `[samples, width]` whose rows are the same samples.

    Raises:
        InvalidArgument: An input is not a matrix or has NaN or infinite entries, the numbers of samples differ, or
            there are fewer than `fewest`.
    """
    arrays = [np.asarray(a.detach().cpu() if isinstance(a, Tensor) else a, dtype=np.float64) for a in (x, y)]
    for which, array in zip("xy", arrays, strict=True):
        if array.ndim != 2:
            raise InvalidArgument(f"{which} must be [samples, width], found the shape {list(array.shape)}")
        if not np.isfinite(array).all():
            raise InvalidArgument(
                f"{which} has NaN or infinite entries in {(~np.isfinite(array)).any(1).sum()} samples"
            )
    if len(arrays[0]) != len(arrays[1]) or len(arrays[0]) < fewest:
        raise InvalidArgument(
            f"x and y need the same samples, at least {fewest}; found {len(arrays[0])} and {len(arrays[1])}"
        )
    return arrays[0], arrays[1]


def refuse_zero_rows(samples: Samples, which: str) -> None:
    """Check that no sample is all zero, since its cosine would be undefined.

    Raises:
        InvalidArgument: Some samples are all zero.
    """
    zero = int((~samples.any(axis=1)).sum())
    if zero:
        raise InvalidArgument(f"{which} has {zero} all-zero samples, whose cosine is undefined")
