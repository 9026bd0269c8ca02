"""Arrays as users hold them (numpy, torch, pandas, xarray, sparse, masked, lists), read as float64 arrays of numpy."""

from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from causalign.errors import InvalidArgument
from causalign.memory import GIB

_MOST_DENSE = 4 * GIB  # bytes; a sparse array beyond that is refused, because measures need all of its entries


def float64(value: Any, what: str) -> Float[np.ndarray, "..."]:
    """Return an array of real numbers as float64. Masked entries are NaN.

    Args:
        value: A numpy array (also masked), a tensor of torch (of any precision, also sparse, or with a gradient), an
            array of pandas, xarray or scipy.sparse, an h5py dataset, or nested lists.
        what: The name of the array in messages.

    Raises:
        InvalidArgument: It is not an array of real numbers, or it is sparse and takes more than 4 GiB when it is dense.
    """
    if isinstance(value, Tensor):
        array: Shaped[np.ndarray, ...] = _of_tensor(value, what)
    elif hasattr(value, "toarray") and hasattr(value, "nnz"):  # a sparse array or matrix of scipy
        _require_room(value.shape, what)
        array = value.toarray()
    elif isinstance(value, np.ma.MaskedArray):
        if value.dtype.kind not in "biuf":
            raise InvalidArgument(f"{what} has entries of the type {value.dtype}, and must have real numbers")
        return np.where(np.ma.getmaskarray(value), np.nan, value.data.astype(np.float64))
    else:
        array = _plain(value, what)
    if array.dtype.kind == "O":
        array = _of_objects(array, what)
    if array.dtype.kind not in "biuf":
        raise InvalidArgument(f"{what} has entries of the type {array.dtype}, and must have real numbers")
    return array.astype(np.float64, copy=False)


def require_unmasked(value: Any, what: str) -> None:
    """Check that no entry of an array is masked, where a missing entry cannot be used.

    Raises:
        InvalidArgument: Some entries are masked. The message names the first row.
    """
    if isinstance(value, np.ma.MaskedArray) and np.ma.is_masked(value):
        masked = np.ma.getmaskarray(value)
        raise InvalidArgument(
            f"{what} has {int(masked.sum())} masked entries, the first in row {int(np.argwhere(masked)[0, 0])}; leave "
            "these rows out"
        )


def _of_tensor(value: Tensor, what: str) -> Shaped[np.ndarray, "..."]:
    if value.layout != torch.strided:
        _require_room(tuple(value.shape), what)
        value = value.to_dense()
    if value.is_complex():
        raise InvalidArgument(f"{what} has entries of the type {value.dtype}, and must have real numbers")
    value = value.detach().cpu()
    return (value.double() if value.is_floating_point() else value).numpy()  # numpy has no bfloat16


def _plain(value: Any, what: str) -> Shaped[np.ndarray, "..."]:
    try:
        return np.asarray(value)
    except (ValueError, TypeError):  # lists of unequal length
        raise InvalidArgument(f"{what} must be an array of numbers, and its rows are of unequal length") from None


def _of_objects(array: Shaped[np.ndarray, "..."], what: str) -> Float[np.ndarray, "..."]:
    try:
        return array.astype(np.float64)  # None becomes NaN
    except (ValueError, TypeError):
        kinds = sorted({type(entry).__name__ for entry in array.ravel()[:1000]})
        raise InvalidArgument(f"{what} must be an array of numbers, found entries of {', '.join(kinds)}") from None


def _require_room(shape: tuple[int, ...], what: str) -> None:
    size = 8 * int(np.prod(shape, dtype=np.int64))
    if size > _MOST_DENSE:
        raise InvalidArgument(
            f"{what} is sparse, of the shape {list(shape)}: it takes {size / GIB:,.1f} GiB when it is dense, more than "
            f"{_MOST_DENSE / GIB:g} GiB; choose some of its columns"
        )
