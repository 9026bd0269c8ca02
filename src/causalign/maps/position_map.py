"""A map with a subspace for each of several positions of a row."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from typing_extensions import override

from causalign.errors import InvalidArgument
from causalign.maps.base import AlignmentMap, Array, like


@dataclass(frozen=True, eq=False, repr=False)
class PositionMap(AlignmentMap):
    """The map of a network whose states are swapped at several positions of each row, each in a subspace of its own.

    The state at the j-th position is swapped by the j-th map alone (equation 13), so that the subspaces of two
    positions need not be orthogonal. They have the same rank, the same blocks and the same mask.
    """

    frame: Float[Tensor, "positions width rank"]
    """The orthonormal columns of each position."""
    scale: Float[Tensor, " positions"]
    """The positive scalar of each position."""

    @classmethod
    def stacked(cls, maps: Sequence[AlignmentMap]) -> "PositionMap":
        """Return the map whose j-th position has the j-th of these maps, which have one width and rank."""
        first = maps[0]
        scales = torch.stack([torch.as_tensor(each.scale).to(each.frame) for each in maps])
        return cls(torch.stack([each.frame for each in maps]), scales, first.mask, first.blocks)

    @property
    def positions(self) -> int:
        """The number of positions."""
        return len(self.frame)

    def position(self, index: int) -> AlignmentMap:
        """Return the map of one position, by its place among the positions of a row: 0 is the first, -1 the last.

        Raises:
            InvalidArgument: There is no such position.
        """
        if not isinstance(index, int) or isinstance(index, bool) or not -self.positions <= index < self.positions:
            raise InvalidArgument(
                f"position is the index of one of the {self.positions} positions of each row, from 0; found {index!r}"
            )
        return AlignmentMap(self.frame[index], self.scale[index], self.mask, self.blocks)

    @property
    def by_position(self) -> tuple[AlignmentMap, ...]:
        """The maps of the positions."""
        return tuple(self.position(index) for index in range(self.positions))

    @override
    def project(self, states: Array) -> Array:
        """Return the coordinates of the states at all positions of a row, each in the subspace of its position.

        Args:
            states: `[..., positions, width]`, torch or numpy.

        Returns:
            The coordinates, `[..., positions, rank]`, torch or numpy as the states are.

        Raises:
            InvalidArgument: The states are neither an array nor a tensor, or have another width or number of positions.
        """
        parts = self._checked(states, self.width, "states", "width").unbind(-2)
        projected = [each.project(part) for each, part in zip(self.by_position, parts, strict=True)]
        return like(states, torch.stack(projected, dim=-2))

    @override
    def lift(self, coordinates: Array) -> Array:
        """Return the states within the subspaces that have these coordinates, one for each position.

        Args:
            coordinates: `[..., positions, rank]`, torch or numpy.

        Returns:
            The states, `[..., positions, width]`, torch or numpy as the coordinates are.

        Raises:
            InvalidArgument: The coordinates are neither an array nor a tensor, or have another rank or number of
                positions.
        """
        parts = self._checked(coordinates, self.rank, "coordinates", "rank").unbind(-2)
        lifted = [each.lift(part) for each, part in zip(self.by_position, parts, strict=True)]
        return like(coordinates, torch.stack(lifted, dim=-2))

    @override
    def coordinates(self, states: Float[Tensor, "*rows positions width"]) -> Float[Tensor, "*rows positions rank"]:
        return torch.einsum("...pw,pwr->...pr", states, self.frame.to(states.dtype))

    @override
    def part(self, kept: Bool[Tensor, " rank"]) -> "PositionMap":
        return self._each(lambda of_position: of_position.part(kept))

    @override
    def arranged(self, variables: Sequence[str]) -> "PositionMap":
        return self._each(lambda of_position: of_position.arranged(variables))

    @override
    def to(self, device: torch.device, dtype: torch.dtype) -> "PositionMap":
        return replace(self, frame=self.frame.to(device, dtype), scale=self.scale.to(device, dtype))

    @override
    def frozen(self) -> "PositionMap":
        mask = None if self.mask is None else self.mask.detach().clone()
        return replace(self, frame=self.frame.detach().clone(), scale=self.scale.detach().clone(), mask=mask)

    @override
    def require_map(self, where: str) -> None:
        for index, each in enumerate(self.by_position):
            each.require_map(f"{where}, position {index}")

    def _each(self, change: Callable[[AlignmentMap], AlignmentMap]) -> "PositionMap":
        return self.stacked([change(each) for each in self.by_position])

    @override
    def _checked(self, values: object, size: int, what: str, name: str) -> Tensor:
        tensor = super()._checked(values, size, what, name)
        if tensor.dim() < 2 or tensor.shape[-2] != self.positions:
            raise InvalidArgument(
                f"the map has a subspace for each of {self.positions} positions: {what} must be "
                f"[..., {self.positions}, {size}], or of one position, position=...; found {[*tensor.shape]}"
            )
        return tensor

    def __repr__(self) -> str:
        scales = ", ".join(f"{float(each):.4g}" for each in self.scale)
        return f"PositionMap({self.positions} positions, width {self.width}, rank {self.rank}, scales {scales})"


def at_position(of: AlignmentMap, position: int | None, where: str) -> AlignmentMap:
    """Return the map of one position, which is to be named where there is a map for each of several.

    Args:
        of: The map.
        position: The index of the position among those of a row, or `None`.
        where: The name of the map in the error message.

    Raises:
        InvalidArgument: No position of several is named, one is named where all share a map, or there is none such.
    """
    if isinstance(of, PositionMap):
        if position is None:
            raise InvalidArgument(
                f"{where} has a subspace for each of {of.positions} positions: name one, position=0 to "
                f"{of.positions - 1}"
            )
        return of.position(position)
    if position is not None:
        raise InvalidArgument(f"{where} has one subspace for all positions: leave position out")
    return of
