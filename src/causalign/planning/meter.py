"""What some work costs: the memory its tensors take, and its operations."""

import weakref
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry
from typing_extensions import override

# torch's own counter knows the products that give a new matrix, and cannot be on while gradients are taken inside.
_OPERATIONS = flop_registry | {torch.ops.aten.addmm_: flop_registry[torch.ops.aten.addmm]}
for _of_gpu, _of_cpu in (
    ("_scaled_dot_product_flash_attention", "_scaled_dot_product_flash_attention_for_cpu"),
    ("_scaled_dot_product_flash_attention_backward", "_scaled_dot_product_flash_attention_for_cpu_backward"),
):
    _OPERATIONS[getattr(torch.ops.aten, _of_cpu)] = flop_registry[getattr(torch.ops.aten, _of_gpu)]


class Meter(TorchDispatchMode):
    """Counts, while it is on, the bytes of all storages that operations give, and the operations of matrix products."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.peak = 0
        """The most bytes that were alive at a time."""
        self.operations = 0
        self._held = 0
        self._alive: set[int] = set()

    @override
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = func(*args, **(kwargs or {}))
        if func._overloadpacket in _OPERATIONS:
            self.operations += _OPERATIONS[func._overloadpacket](*args, **(kwargs or {}), out_val=given)
        before = {storage._cdata for storage in _storages((args, kwargs))}
        for storage in _storages(given):
            if storage._cdata not in before:  # what an operation writes into, or gives a view of, is older
                self._see(storage)
        return given

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
