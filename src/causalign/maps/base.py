"""Alignment maps, and the base of the parametrizations that a search trains."""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate, pairwise
from operator import index
from typing import ClassVar, SupportsIndex, TypeVar

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from causalign.arrays import require_unmasked
from causalign.errors import FileFormatError, InvalidArgument, lookup
from causalign.maps.gate import Gate

Array = TypeVar("Array", np.ndarray, Tensor)
_ORTHONORMAL = 1e-3  # tolerance of V^T V, far above the error of single precision


def like(given: Array, values: Tensor) -> Array:
    """Return the values as a numpy array if `given` is one, and as a tensor otherwise."""
    return values.detach().cpu().numpy() if isinstance(given, np.ndarray) else values


@dataclass(frozen=True, eq=False)
class AlignmentMap:
    """The part of a network's map W = a Q that an interchange needs: the subspace and the scale.

    The map stores width x rank numbers. The rest of Q never enters an interchange (equation 13).
    """

    frame: Float[Tensor, "width rank"]
    """The orthonormal columns V: the first `rank` columns of Q^T."""
    scale: float | Float[Tensor, ""]
    """The positive scalar a: a tensor while a search trains it, a float afterwards, and 1.0 if it is not trained."""
    mask: Float[Tensor, "*rows rank"] | None = None
    """The share of each coordinate that is swapped, from 0 to 1, the same for all rows or one for each. `None` stands
    for the whole subspace."""
    blocks: Mapping[str, range] = field(default_factory=dict)
    """The columns of each variable's block, in the order of the variables: disjoint, and together all columns. Empty
    where the whole subspace is that of one variable."""

    @property
    def width(self) -> int:
        """The width of the states."""
        return self.frame.shape[-2]

    @property
    def rank(self) -> int:
        """The number of dimensions of the subspace."""
        return self.frame.shape[-1]

    def project(self, states: Array) -> Array:
        """Return the coordinates of states in the aligned subspace, z_var = a V^T h (equation 3).

        Args:
            states: `[..., width]`, torch or numpy.

        Returns:
            The coordinates, `[..., rank]`, torch or numpy as the states are.

        Raises:
            InvalidArgument: The states are neither an array nor a tensor, or have another width.
        """
        tensor = self._checked(states, self.width, "states", "width")
        return like(states, self.scale * self.coordinates(tensor))

    def lift(self, coordinates: Array) -> Array:
        """Return the states within the subspace that have these coordinates, V z / a.

        Args:
            coordinates: `[..., rank]`, torch or numpy.

        Returns:
            The states, `[..., width]`, torch or numpy as the coordinates are.

        Raises:
            InvalidArgument: The coordinates are neither an array nor a tensor, or have another rank.
        """
        tensor = self._checked(coordinates, self.rank, "coordinates", "rank")
        return like(coordinates, (tensor / self.scale) @ self.frame.mT.to(tensor.dtype))

    def coordinates(self, states: Float[Tensor, "*rows width"]) -> Float[Tensor, "*rows rank"]:
        """Return the coordinates of states before they are scaled, V^T h."""
        return states @ self.frame.to(states.dtype)

    def part(self, kept: Bool[Tensor, " rank"]) -> "AlignmentMap":
        """Return the map onto some of the coordinates, all of which are swapped."""
        return replace(self, frame=self.frame[:, kept], mask=None)

    def to(self, device: torch.device, dtype: torch.dtype) -> "AlignmentMap":
        """Return the map on a device, in a precision."""
        return replace(self, frame=self.frame.to(device, dtype))

    def tensors(self) -> dict[str, Tensor]:
        """Return the tensors by which a saved map is read again."""
        return {"frame": self.frame, "scale": torch.as_tensor(self.scale, dtype=torch.float64)}

    def _checked(self, values: object, size: int, what: str, name: str) -> Tensor:
        if not isinstance(values, np.ndarray | Tensor):
            raise InvalidArgument(f"{what} must be a numpy array or a torch tensor; found {type(values).__name__}")
        if values.ndim == 0 or values.shape[-1] != size:
            raise InvalidArgument(
                f"the last dimension of {what} must be the {name} of the map, {size}; found {[*values.shape]}"
            )
        require_unmasked(values, what)
        tensor = torch.as_tensor(values).to(self.frame.device)
        return tensor.to(torch.promote_types(tensor.dtype, self.frame.dtype))

    def require_map(self, where: str) -> None:
        """Check that the columns are orthonormal, that all entries are finite, and that the scale is positive.

        Args:
            where: The name of the map in the error message.

        Raises:
            FileFormatError: One of these does not hold.
        """
        frame, scale = self.frame.double(), float(torch.as_tensor(self.scale))
        if not bool(torch.isfinite(frame).all()) or not math.isfinite(scale):
            raise FileFormatError(f"{where}: the map has entries that are not finite")
        error = float((frame.mT @ frame - torch.eye(self.rank, dtype=torch.float64, device=frame.device)).abs().max())
        if error > _ORTHONORMAL:
            raise FileFormatError(
                f"{where}: the columns of the map are not orthonormal; the largest error is {error:.2g}"
            )
        if scale <= 0:
            raise FileFormatError(f"{where}: the scale of the map must be positive; found {scale}")

    def frozen(self) -> "AlignmentMap":
        """Return a copy of the map that is detached from the search, with the scale as a float."""
        mask = None if self.mask is None else self.mask.detach().clone()
        scale = float(torch.as_tensor(self.scale).detach())
        return replace(self, frame=self.frame.detach().clone(), scale=scale, mask=mask)

    def block(self, variable: str) -> "AlignmentMap":
        """Return the map whose subspace is the block of one variable.

        Raises:
            InvalidArgument: No block is of this variable. Near matches are named.
        """
        return self.arranged([variable])

    def arranged(self, variables: Sequence[str]) -> "AlignmentMap":
        """Return the map of the blocks of some variables, in this order.

        Raises:
            InvalidArgument: No block is of one of the variables. Near matches are named.
        """
        ranges = [lookup("variable of the blocks", each, self.blocks) for each in variables]
        columns = [column for each in ranges for column in each]
        ranks = {each: len(its) for each, its in zip(variables, ranges, strict=True)}
        mask = None if self.mask is None else self.mask[..., columns]
        return AlignmentMap(self.frame[:, columns], self.scale, mask, block_columns(ranks))

    def row_blocks(self, variable: Int[Tensor, " rows"] | None) -> "AlignmentMap":
        """Return the map for some rows, each of which swaps the block of its variable only.

        Args:
            variable: The index of the variable of each row among the blocks; `None` where all rows have the same one.

        Raises:
            InvalidArgument: The rows have several variables and the map has no blocks, or the other way round.
        """
        if (variable is None) != (len(self.blocks) < 2):
            raise InvalidArgument(
                f"the map has {len(self.blocks) or 'no'} blocks, and the rows have "
                f"{'one variable' if variable is None else 'several variables'}: AlignmentMap.arranged and "
                "rank={...} give a map the block of each"
            )
        if variable is None:
            return self
        owner = [index for index, columns in enumerate(self.blocks.values()) for _ in columns]
        mask = (variable[:, None] == torch.tensor(owner, device=variable.device)).to(self.frame.dtype)
        return replace(self, mask=mask if self.mask is None else self.mask * mask)

    def masked(self, coordinates: Float[Tensor, "*rows rank"]) -> Float[Tensor, "*rows rank"]:
        """Return the share of each coordinate that is swapped: the mask times the coordinates.

        A mask with an entry for each row applies to all positions of the row.
        """
        if self.mask is None:
            return coordinates
        mask = self.mask.to(coordinates)
        return coordinates * (mask[:, None] if coordinates.dim() > mask.dim() > 1 else mask)

    def __repr__(self) -> str:
        blocks = ", ".join(f"{variable} {len(columns)}" for variable, columns in self.blocks.items())
        rank = f"{self.rank} ({blocks})" if blocks else str(self.rank)
        return f"AlignmentMap(width {self.width}, rank {rank}, scale {self.frozen().scale:.4g})"


def block_columns(ranks: Mapping[str, int]) -> dict[str, range]:
    """Return the columns of each variable's block, from the rank of each, one block after another."""
    ends = list(accumulate(ranks.values(), initial=0))
    return {name: range(*each) for name, each in zip(ranks, pairwise(ends), strict=True)}


class TrainableMap(nn.Module, ABC):
    """A parametrization of the map of one network. Called, it returns the map of its current parameters.

    Args:
        start: The map that the training starts from.
        train_scale: Whether the scale is trained. Otherwise it is 1 throughout.
    """

    name: ClassVar[str]
    learning_rates: ClassVar[Mapping[str, float]]
    """The optimizers that suit the parameters, the default first, each with its learning rate from a closed-form start.
    The rates were measured (docs/method.md)."""

    def __init__(self, start: AlignmentMap, train_scale: bool) -> None:
        super().__init__()
        log_scale = torch.tensor(float(start.scale), device=start.frame.device).log()
        self.log_scale = nn.Parameter(log_scale) if train_scale else None
        self.gate: Gate | None = None
        """The gate of the coordinates, which several maps may share. `None` swaps all of them."""
        self.blocks = start.blocks

    @property
    def parts(self) -> tuple["TrainableMap", ...]:
        """The maps whose parameters an optimizer trains: itself, or those that it consists of."""
        return (self,)

    @abstractmethod
    def frame(self) -> Float[Tensor, "width rank"]:
        """Return the orthonormal columns V, differentiable in the parameters."""

    def forward(self) -> AlignmentMap:
        """Return the map, differentiable in the parameters."""
        scale = 1.0 if self.log_scale is None else self.log_scale.exp()
        return AlignmentMap(self.frame(), scale, None if self.gate is None else self.gate(), self.blocks)

    def result(self) -> AlignmentMap:
        """Return the map that a search would end with now: detached, and cut to the coordinates that the gate keeps."""
        current = self().frozen()
        return current if self.gate is None else current.part(self.gate.kept())


def gates_of(maps: Sequence[TrainableMap]) -> list[Gate]:
    """Return the gates of some maps, each once."""
    return list(dict.fromkeys(each.gate for each in maps if each.gate is not None))


def require_rank(rank: object, width: int, where: str) -> None:
    """Check that a rank is a whole number from 1 to the width of the states.

    Args:
        rank: The rank.
        width: The width of the states.
        where: The name of the site in the error message.

    Raises:
        InvalidArgument: The rank is out of range or not a whole number.
    """
    if not isinstance(rank, SupportsIndex) or not 1 <= index(rank) <= width:
        raise InvalidArgument(
            f"rank must be a whole number from 1 to {width}, the width of {where}, or auto; found {rank!r}"
        )


def random_frame(width: int, rank: int, generator: torch.Generator) -> Float[Tensor, "width rank"]:
    """Draw a frame uniformly from all frames: an orthonormalized matrix of normal entries (section 2.6)."""
    return orthonormal(torch.randn(width, rank, generator=generator, dtype=torch.float64)).float()


def orthonormal(columns: Float[Tensor, "width rank"]) -> Float[Tensor, "width rank"]:
    """Return the columns orthonormalized by Gram-Schmidt (equations 10 to 12).

    The projections of each column on the earlier ones are subtracted from it, and the column is normalized. A QR
    decomposition computes the same up to the signs of the columns, and is exact to rounding.
    """
    q, r = torch.linalg.qr(columns)
    return q * torch.where(r.diagonal() < 0, -1.0, 1.0).to(q)


def complete(frame: Float[Tensor, "width rank"]) -> Float[Tensor, "width width"]:
    """Return an orthonormal matrix Q whose first `rank` rows are the columns of the frame."""
    width, rank = frame.shape
    rest = torch.linalg.svd(frame.double(), full_matrices=True).U[:, rank:]
    return torch.cat([frame, rest.to(frame)], dim=1).mT[:width]
