"""The whole orthonormal matrix, parametrised by PyTorch's `orthogonal`; cubic in the width."""

from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor, nn
from torch.nn.utils.parametrizations import orthogonal
from typing_extensions import override

from causalign.maps.base import AlignmentMap, TrainableMap, complete


class Rotation(TrainableMap):
    """Q is the product of a trained orthonormal matrix and the one it starts at; its first rows are the frame."""

    learning_rates: ClassVar[Mapping[str, float]] = {"adam": 1e-3}
    orthogonal_map: ClassVar[str]
    """What PyTorch calls it."""

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
    """Q, for PyTorch to parametrise."""

    weight: Tensor

    def __init__(self, start: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(start)
