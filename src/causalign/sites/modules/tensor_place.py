"""A place in a module as a tensor: the input or the output of a submodule, or a slice of it, by hooks.

Nothing here knows of tokens. The caller says by which dimensions the tensor begins: trials and time, or rows alone.
"""

import inspect
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils import _pytree as pytree  # torch's own, which knows the containers of Hugging Face
from typing_extensions import override

from causalign.errors import InvalidArgument
from causalign.sites.modules.place_name import INPUT, PlaceName


@dataclass(frozen=True, eq=False)
class Call:
    """One call of a submodule."""

    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    output: Any


class TensorPlace:
    """The input or the output of a submodule, or a slice of it, as a state of shape `[*leading, width]`.

    The input is the first tensor argument of the call, positional or keyword, in the order of the submodule's
    signature. The output is the first floating-point tensor with the leading dimensions, alone or within a tuple or a
    dict. Trials and time may be flattened into one dimension. All other dimensions are flattened. A slice is a slice of
    the flattened state; a write leaves its other coordinates as they are.

    Args:
        submodule: The submodule.
        name: Its path in messages, the side of its call, and the slice.
        call: A call of the submodule in a first run.
        leading: The sizes of the leading dimensions in that run: `(trials, time)` or `(rows,)`.

    Raises:
        InvalidArgument: There is no floating-point tensor with these dimensions, or the slice is empty or reaches
            beyond it.
    """

    def __init__(self, submodule: nn.Module, name: PlaceName, call: Call, leading: tuple[int, ...]) -> None:
        self.submodule, self.name = submodule, name
        self._order = {each: n for n, each in enumerate(inspect.signature(submodule.forward).parameters)}
        value = self._arguments(call.args, call.kwargs) if name.side == INPUT else call.output
        leaf = _Leaf.first(value, leading) if name.side == INPUT else _Leaf.within(value, leading)
        if leaf is None:
            expected = f"[{'trials, time' if len(leading) == 2 else 'rows'}, width]"
            what = "takes no tensor" if name.side == INPUT else "returns no tensor"
            raise InvalidArgument(f"{name.path} {what} {expected}; found {_shapes(value, name.side)}")
        self._leaf, self._part = leaf, name.coordinates(leaf.entry.numel())
        self.width = self._part.stop - self._part.start

    @property
    def entry(self) -> torch.Size:
        """The shape of the whole state of one entry, before it is flattened."""
        return self._leaf.entry

    def _arguments(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> list[Any]:
        """Return the arguments of a call, those by keyword in the order of the signature."""
        return [*args, *(kwargs[each] for each in self._by_keyword(kwargs))]

    def _by_keyword(self, kwargs: Mapping[str, Any]) -> list[str]:
        return sorted(kwargs, key=lambda each: self._order.get(each, len(self._order)))

    @contextmanager
    def reading(self, leading: tuple[int, ...]) -> Iterator[list[Float[Tensor, "*leading width"]]]:
        """Open a context that yields a list, to which every call of the submodule appends its state.

        Args:
            leading: The sizes of the leading dimensions in this run.
        """
        states: list[Tensor] = []

        def read(state: Tensor) -> None:
            states.append(state.clone())  # later modules may work in place

        with self._hooked(leading, read):
            yield states

    @contextmanager
    def writing(
        self,
        leading: tuple[int, ...],
        change: Callable[[Float[Tensor, "*leading width"]], Float[Tensor, "*leading width"]],
    ) -> Iterator[None]:
        """Open a context in which every call of the submodule uses a changed state.

        Args:
            leading: The sizes of the leading dimensions in this run.
            change: A function from the state to the state that takes its place. It must not work in place.
        """
        with self._hooked(leading, change):
            yield

    @contextmanager
    def _hooked(self, leading: tuple[int, ...], use: Callable[[Tensor], Tensor | None]) -> Iterator[None]:
        """Open a context in which every state is passed to `use`, and replaced where that returns another one."""

        def replaced(value: Any) -> Tensor | None:
            whole = self._leaf.get(value, leading, self.name)
            new = use(whole[..., self._part])
            if new is None or new.shape[-1] == whole.shape[-1]:
                return new
            return torch.cat([whole[..., : self._part.start], new, whole[..., self._part.stop :]], dim=-1)

        def at_input(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Any] | None:
            arguments = self._arguments(args, kwargs)
            new = replaced(arguments)
            if new is None:
                return None
            changed = self._leaf.put(arguments, new)
            return tuple(changed[: len(args)]), dict(zip(self._by_keyword(kwargs), changed[len(args) :], strict=True))

        def at_output(_: nn.Module, __: Any, output: Any) -> Any:
            new = replaced(output)
            return None if new is None else self._leaf.put([output], new)[0]

        if self.name.side == INPUT:
            hook = self.submodule.register_forward_pre_hook(at_input, with_kwargs=True)
        else:
            hook = self.submodule.register_forward_hook(at_output)
        try:
            yield
        finally:
            hook.remove()

    @override
    def __repr__(self) -> str:
        return f"TensorPlace({self.name}, width {self.width})"


@dataclass(frozen=True)
class _Leaf:
    """The location of the state in the arguments or in the output of a call."""

    index: int
    """The index of the tensor among the leaves of the containers."""
    dims: tuple[int, ...]
    """The dimensions of the tensor that are the leading ones of the state; none if they are flattened."""
    entry: torch.Size
    """The shape of one entry's state."""

    @classmethod
    def within(cls, value: Any, leading: tuple[int, ...]) -> "_Leaf | None":
        """Return the first floating-point tensor that has the leading dimensions."""
        for index, leaf in enumerate(pytree.tree_flatten(value)[0]):
            if isinstance(leaf, Tensor) and (dims := _dims(leaf, leading)) is not None:
                return cls.at(index, dims, leaf)
        return None

    @classmethod
    def first(cls, value: Any, leading: tuple[int, ...]) -> "_Leaf | None":
        """Return the first tensor, if it is floating-point and has the leading dimensions."""
        for index, leaf in enumerate(pytree.tree_flatten(value)[0]):
            if isinstance(leaf, Tensor):
                dims = _dims(leaf, leading)
                return None if dims is None else cls.at(index, dims, leaf)
        return None

    @classmethod
    def at(cls, index: int, dims: tuple[int, ...], leaf: Tensor) -> "_Leaf":
        """Return the location of a tensor whose leading dimensions are known."""
        others = dims or (0,)
        return cls(index, dims, torch.Size(size for n, size in enumerate(leaf.shape) if n not in others))

    def get(self, value: Any, leading: tuple[int, ...], name: PlaceName) -> Float[Tensor, "*leading width"]:
        """Return the state. The state of each entry is flattened."""
        leaf: Tensor = pytree.tree_flatten(value)[0][self.index]
        if not self.dims and len(leaf) == math.prod(leading):
            return leaf.unflatten(0, leading)
        states = leaf.movedim(self.dims, tuple(range(len(self.dims)))).flatten(len(self.dims))
        if states.shape[-1] != self.entry.numel():
            raise InvalidArgument(
                f"{name} has states of width {self.entry.numel()} in one run and {states.shape[-1]} in another: "
                "its width depends on the input"
            )
        return states

    def put(self, values: Sequence[Any], states: Float[Tensor, "*leading width"]) -> list[Any]:
        """Return values with another state, in the same containers. Every occurrence of the tensor is replaced.

        Values without the tensor are passed on as they are, because some containers, such as caches, have an identity.
        """
        old = pytree.tree_flatten(list(values))[0][self.index]
        shaped = states.unflatten(-1, self.entry)
        new = shaped.movedim(tuple(range(len(self.dims))), self.dims) if self.dims else shaped.flatten(0, 1)
        changed = []
        for value in values:
            leaves, containers = pytree.tree_flatten(value)
            if any(leaf is old for leaf in leaves):
                value = pytree.tree_unflatten([new if leaf is old else leaf for leaf in leaves], containers)
            changed.append(value)
        return changed


def _dims(leaf: Tensor, leading: tuple[int, ...]) -> tuple[int, ...] | None:
    """Return which dimensions of a tensor are the leading ones; `None` if it is not of that shape.

    They come first. Trials and time may be transposed or flattened, and may stand behind the streams of a model with
    several.
    """
    if not leaf.is_floating_point() or not leaf.numel():
        return None
    if len(leading) == 2 and leaf.dim() == 2 and len(leaf) == math.prod(leading):
        return ()
    if leaf.dim() <= len(leading):
        return None
    orders = [tuple(range(len(leading)))]
    if len(leading) == 2:
        orders += [(1, 0), (1, 2)] if leaf.dim() == 4 else [(1, 0)]
    return next((dims for dims in orders if tuple(leaf.shape[each] for each in dims) == leading), None)


def _shapes(value: Any, side: str) -> str:
    tensors = [each for each in pytree.tree_flatten(value)[0] if isinstance(each, Tensor)]
    if side == INPUT:
        return f"{list(tensors[0].shape)} of {str(tensors[0].dtype)[6:]}" if tensors else "no tensor"
    found = [str(list(each.shape)) for each in tensors]
    return f"{type(value).__name__} of shape {' and '.join(found)}" if found else type(value).__name__
