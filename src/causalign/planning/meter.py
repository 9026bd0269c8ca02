"""The cost of some work: the memory of its tensors, and its operations."""

import weakref
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry
from typing_extensions import override

# torch's own counter knows only products that return a new matrix, and cannot be active while gradients are taken.
_OPERATIONS = flop_registry | {torch.ops.aten.addmm_: flop_registry[torch.ops.aten.addmm]}
for _of_gpu, _of_cpu in (
    ("_scaled_dot_product_flash_attention", "_scaled_dot_product_flash_attention_for_cpu"),
    ("_scaled_dot_product_flash_attention_backward", "_scaled_dot_product_flash_attention_for_cpu_backward"),
):
    _OPERATIONS[getattr(torch.ops.aten, _of_cpu)] = flop_registry[getattr(torch.ops.aten, _of_gpu)]


class Meter(TorchDispatchMode):
    """A context that counts the bytes of all storages that operations create, and the operations of matrix products."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.peak = 0
        """The largest number of bytes that were alive at the same time."""
        self.operations = 0
        """The number of multiplications and additions in matrix products."""
        self._held = 0
        self._alive: set[int] = set()

    @override
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if func._overloadpacket in _OPERATIONS:
            self.operations += _OPERATIONS[func._overloadpacket](*args, **(kwargs or {}), out_val=result)
        before = {storage._cdata for storage in _storages((args, kwargs))}
        for storage in _storages(result):
            if storage._cdata not in before:  # outputs written in place, and views, are older
                self._see(storage)
        return result

    def _see(self, storage: torch.UntypedStorage) -> None:
        if storage._cdata not in self._alive:
            self._alive.add(storage._cdata)
            self._held += storage.nbytes()
            self.peak = max(self.peak, self._held)
            weakref.finalize(storage, self._forget, storage._cdata, storage.nbytes())

    def _forget(self, storage: int, size: int) -> None:
        self._alive.discard(storage)
        self._held -= size


def _storages(values: Any) -> list[torch.UntypedStorage]:
    return [value.untyped_storage() for value in tree_leaves(values) if isinstance(value, Tensor)]
