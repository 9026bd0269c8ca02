"""A second device where there is none: tensors that live on the CPU, say that they are elsewhere, and refuse to mix.

As on a GPU, an operation on tensors of two devices raises an error, except copies. Numbers are those of the CPU.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing

SECOND = torch.device("lazy", 1)  # no backend of this build, and its gradients are computed on the CPU's thread
_MOVES = (torch.ops.aten._to_copy.default, torch.ops.aten.copy_.default)


class Elsewhere(Tensor):
    """A tensor on the second device."""

    here: Tensor
    """The same tensor on the CPU."""

    @staticmethod
    def __new__(cls, values: Tensor) -> "Elsewhere":
        made: Any = torch.Tensor._make_wrapper_subclass(
            cls,
            values.size(),
            strides=values.stride(),
            storage_offset=values.storage_offset(),
            dtype=values.dtype,
            device=SECOND,
        )
        made.here = values
        return made

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        return run(func, args, kwargs or {})


class SecondDevice(TorchDispatchMode):
    """A context in which the second device exists."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return run(func, args, kwargs or {})


def run(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """Run an operation where its tensors are, and refuse tensors of two devices. Numbers without dimensions may mix."""
    tensors = [each for each in pytree.tree_leaves((args, kwargs)) if isinstance(each, Tensor)]
    devices = {each.device for each in tensors if each.dim() or isinstance(each, Elsewhere)}
    if len(devices) > 1 and func not in _MOVES:
        raise RuntimeError(f"{func}: expected all tensors on one device, but found {sorted(map(str, devices))}")
    asked = kwargs.get("device")
    there = torch.device(asked) if asked is not None else tensors[0].device if tensors else torch.device("cpu")
    there = next(iter(devices)) if asked is None and devices and func not in _MOVES else there
    plain = {**kwargs, "device": torch.device("cpu")} if asked is not None else kwargs
    inner_args, inner_kwargs = pytree.tree_map_only(Elsewhere, lambda each: each.here, (args, plain))
    found = func(*inner_args, **inner_kwargs)
    if there != SECOND:
        return found
    wrapped = pytree.tree_map_only(Tensor, Elsewhere, found)
    return return_and_correct_aliasing(func, args, kwargs, wrapped)


def move(module: nn.Module) -> None:
    """Move the weights of a module to the second device."""
    for part in module.modules():
        for name, weight in part._parameters.items():
            if weight is not None:
                part._parameters[name] = nn.Parameter(Elsewhere(weight.data), requires_grad=False)
        for name, buffer in part._buffers.items():
            if buffer is not None:
                part._buffers[name] = Elsewhere(buffer)
