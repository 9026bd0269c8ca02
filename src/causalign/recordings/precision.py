"""The precision in which states of recordings are stored."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Num
from torch import Tensor

from causalign.errors import InvalidArgument, unknown
from causalign.recordings.moments import Moments

DTYPES = {"float32": torch.float32, "float64": torch.float64}
_MOST_LOST = 1e-3  # largest rounding error of a state, in standard deviations of its unit


def state_dtype(dtype: object) -> torch.dtype:
    """Return the precision of stored states.

    Args:
        dtype: `float32` or `float64`, by name or as a type of torch or numpy.

    Raises:
        InvalidArgument: It is another one.
    """
    if isinstance(dtype, torch.dtype):
        name = str(dtype).removeprefix("torch.")
    else:
        name = dtype.__name__ if isinstance(dtype, type) else str(dtype)
    if name not in DTYPES:
        raise unknown("dtype of states", name, DTYPES)
    return DTYPES[name]


def as_precise(values: Num[Tensor, "*shape"], given: Num[Tensor, "..."]) -> Num[Tensor, "*shape"]:
    """Return values in the precision and on the device of what they are computed from; of whole numbers, in float64."""
    return values.to(given.device, given.dtype if given.is_floating_point() else torch.float64)


def require_digits(dtype: torch.dtype, moments: Moments, units: Sequence[str] | None, name: str) -> None:
    """Check that states which are not centered keep their digits when they are stored.

    Rounding changes a state by up to |mean| eps / 2, which is to be small beside the deviation of its unit.

    Args:
        dtype: The precision in which they are stored.
        moments: The moments of the training samples.
        units: The names of the units, or `None` if the states have none.
        name: The name of the recording in messages.

    Raises:
        InvalidArgument: The offset of a unit is too large. The message names the unit, its mean and its deviation.
    """
    mean, deviation = moments.mean, moments.deviation
    lost = np.abs(mean) * torch.finfo(dtype).eps / 2
    wrong = np.flatnonzero((lost > _MOST_LOST * deviation) & (deviation > 0))
    if len(wrong):
        first = int(wrong[0])
        which = f"dimension {first}" if units is None else units[first]
        remedy = " or dtype='float64'" if dtype == torch.float32 else ""
        raise InvalidArgument(
            f"{name}: {len(wrong)} of {len(mean)} units lose their digits in {str(dtype).removeprefix('torch.')}: "
            f"{which} has the mean {mean[first]:.6g} and the standard deviation {deviation[first]:.3g}; center the "
            f"states (Preprocess(zscore=True), which is computed in float64){remedy}"
        )
