"""The base of parametrizations of the whole orthonormal matrix, by PyTorch's `orthogonal`, at a cost cubic in width."""

from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor, nn
from torch.nn.utils.parametrizations import orthogonal
from typing_extensions import override

from causalign.maps.base import AlignmentMap, TrainableMap, complete


class Rotation(TrainableMap):
    """Q is a trained orthonormal matrix times the initial one. Its first `rank` rows are the columns of the frame."""

    learning_rates: ClassVar[Mapping[str, float]] = {"adam": 1e-3}
    orthogonal_map: ClassVar[str]
    """The argument `orthogonal_map` of PyTorch's `orthogonal`."""

    def __init__(self, start: AlignmentMap, train_scale: bool) -> None:
        super().__init__(start, train_scale)
        self.rank = start.rank
        self.dtype = start.frame.dtype
        # In float32 the exponential drifts off the orthonormal matrices by more than 1e-5 within a few large steps.
        self.rotation = _Rotation(complete(start.frame.double()))
        orthogonal(self.rotation, "weight", orthogonal_map=self.orthogonal_map)

    @override
    def frame(self) -> Tensor:
        return self.rotation.weight[: self.rank].mT.to(self.dtype)


class _Rotation(nn.Module):
    """The matrix Q, as a module that PyTorch can parametrize."""

    weight: Tensor

    def __init__(self, start: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(start)
