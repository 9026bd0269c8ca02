"""What an alignment map is, and what a search trains to find one."""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from operator import index
from typing import ClassVar, SupportsIndex, TypeVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from causalign.errors import FileFormatError, InvalidArgument

Array = TypeVar("Array", np.ndarray, Tensor)
_ORTHONORMAL = 1e-3  # the largest error of V^T V in single precision, with much to spare


def like(given: Array, values: Tensor) -> Array:
    """The values as numpy where numpy was given."""
    return values.detach().cpu().numpy() if isinstance(given, np.ndarray) else values


@dataclass(frozen=True, eq=False)
class AlignmentMap:
    """The part of a network's map W = a Q that an interchange needs: the subspace and the scale.

    Its memory is width x rank: the rest of Q never enters an interchange (equation 13).
    """

    frame: Float[Tensor, "width rank"]
    """Orthonormal columns: the first `rank` columns of Q^T."""
    scale: float | Float[Tensor, ""]
    """The positive scalar a. A tensor while a search trains it, a float afterwards; 1.0 when the scalar is off."""

    @property
    def width(self) -> int:
        """The width of the states."""
        return self.frame.shape[0]

    @property
    def rank(self) -> int:
        """The dimensions of the subspace."""
        return self.frame.shape[1]

    def project(self, states: Array) -> Array:
        """Return the coordinates of states in the aligned subspace, z_var = a V^T h (equation 3).

        Args:
            states: `[..., width]`, torch or numpy; what is returned is of the same kind.

        Raises:
            InvalidArgument: They are of another width.
        """
        given = self._checked(states, self.width, "states", "width")
        return like(states, self.scale * (given @ self.frame.to(given.dtype)))

    def lift(self, coordinates: Array) -> Array:
        """Return the states within the subspace that have these coordinates, V z / a.

        Args:
            coordinates: `[..., rank]`, torch or numpy; what is returned is of the same kind.

        Raises:
            InvalidArgument: They are of another rank.
        """
        given = self._checked(coordinates, self.rank, "coordinates", "rank")
        return like(coordinates, (given / self.scale) @ self.frame.mT.to(given.dtype))

    def _checked(self, values: object, size: int, what: str, name: str) -> Tensor:
        if not isinstance(values, np.ndarray | Tensor):
            raise InvalidArgument(f"{what} are a numpy array or a torch tensor, found {type(values).__name__}")
        if values.ndim == 0 or values.shape[-1] != size:
            raise InvalidArgument(
                f"{what} have the {name} of the map, {size}, as their last dimension; found {[*values.shape]}"
            )
        given = torch.as_tensor(values).to(self.frame.device)
        return given.to(torch.promote_types(given.dtype, self.frame.dtype))

    def require_map(self, where: str) -> None:
        """Check that the map is one: orthonormal columns, finite, with a positive scale.

        Raises:
            FileFormatError: It is not; `where` names it.
        """
        frame, scale = self.frame.double(), float(torch.as_tensor(self.scale))
        if not bool(torch.isfinite(frame).all()) or not math.isfinite(scale):
            raise FileFormatError(f"{where}: the map has entries that are not finite")
        error = float((frame.mT @ frame - torch.eye(self.rank, dtype=torch.float64, device=frame.device)).abs().max())
        if error > _ORTHONORMAL:
            raise FileFormatError(f"{where}: the columns of the map are not orthonormal, they are off by {error:.2g}")
        if scale <= 0:
            raise FileFormatError(f"{where}: the scale of the map is {scale}, and must be positive")

    def frozen(self) -> "AlignmentMap":
        """The same map as plain numbers, no longer tied to a search."""
        return AlignmentMap(self.frame.detach().clone(), float(torch.as_tensor(self.scale).detach()))

    def __repr__(self) -> str:
        return f"AlignmentMap(width {self.width}, rank {self.rank}, scale {self.frozen().scale:.4g})"


class TrainableMap(nn.Module, ABC):
    """A parametrisation of the maps of one network: called, it gives the map that its parameters stand for.

    It begins as the map `start`; with the scalar off (`train_scale=False`) its scale is 1 throughout.
    """

    name: ClassVar[str]
    learning_rates: ClassVar[Mapping[str, float]]
    """The optimisers that are for these parameters, the usual one first, and how far each steps from a start in closed
    form (measured; docs/method.md)."""

    def __init__(self, start: AlignmentMap, train_scale: bool) -> None:
        super().__init__()
        log_scale = torch.tensor(float(start.scale), device=start.frame.device).log()
        self.log_scale = nn.Parameter(log_scale) if train_scale else None

    @abstractmethod
    def frame(self) -> Float[Tensor, "width rank"]:
        """The orthonormal columns."""

    def forward(self) -> AlignmentMap:
        """The map, differentiable in the parameters."""
        return AlignmentMap(self.frame(), 1.0 if self.log_scale is None else self.log_scale.exp())


def require_rank(rank: object, width: int, where: str) -> None:
    """Check that a subspace of `rank` dimensions fits into states of `width`.

    Raises:
        InvalidArgument: it does not, or is no whole number.
    """
    if not isinstance(rank, SupportsIndex) or not 1 <= index(rank) <= width:
        raise InvalidArgument(
            f"rank must be a whole number from 1 to {width}, the width of {where}, or auto; found {rank!r}"
        )


def random_frame(width: int, rank: int, generator: torch.Generator) -> Float[Tensor, "width rank"]:
    """Orthonormal columns, uniform over all frames: an orthonormalised normal matrix (section 2.6)."""
    return orthonormal(torch.randn(width, rank, generator=generator, dtype=torch.float64)).float()


def orthonormal(columns: Float[Tensor, "width rank"]) -> Float[Tensor, "width rank"]:
    """The columns orthonormalised by Gram-Schmidt (equations 10 to 12).

    From each column its projections on the earlier ones are subtracted, then it is normalised. Done as a QR
    decomposition, which is the same up to the columns' signs, and exact to rounding.
    """
    q, r = torch.linalg.qr(columns)
    return q * torch.where(r.diagonal() < 0, -1.0, 1.0).to(q)


def complete(frame: Float[Tensor, "width rank"]) -> Float[Tensor, "width width"]:
    """An orthonormal matrix Q whose first `rank` rows are the frame's columns."""
    width, rank = frame.shape
    rest = torch.linalg.svd(frame.double(), full_matrices=True).U[:, rank:]
    return torch.cat([frame, rest.to(frame)], dim=1).mT[:width]
