"""The cache of a recurrent language model of Hugging Face: what each layer carries from token to token.

| cache | families | what a layer carries |
| --- | --- | --- |
| `Cache.layers[n]` | Mamba, Mamba 2, hybrids | the recurrent state; the last inputs of its convolution |
| five tensors `[rows, width, layers]` | RWKV | numerator, denominator and exponent; the last inputs of its two blocks |
"""

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor
from typing_extensions import override

from causalign.errors import InvalidArgument

Carry = list[Float[Tensor, "rows ..."]]
"""What one layer carries, the state of its recurrence first."""

_NAMES = ("cache_params", "past_key_values", "state")
"""The names by which models return their cache, and take it again."""


class ModelCache(ABC):
    """The cache of a run. The model changes it in place.

    Args:
        name: The keyword by which the model takes the cache.
        own: The cache as the model returned it.
    """

    attribute: ClassVar[str]
    """The attribute that holds what a layer carries, in the words of an error message."""

    def __init__(self, name: str, own: Any) -> None:
        self.name, self.own = name, own

    @abstractmethod
    def carried(self, layer: int) -> Carry:
        """Return what a layer carries; nothing, if the cache does not hold it.

        Args:
            layer: The index of the layer, counted from 0.
        """

    @abstractmethod
    def put(self, layer: int, carry: Carry) -> None:
        """Replace what a layer carries, by tensors of the shapes that `carried` returned."""

    @abstractmethod
    def renew(self) -> list[Tensor]:
        """Replace every tensor that the next step changes in place by a copy, and return the copies.

        What autograd has kept of earlier steps stays as it was.
        """


class LayeredCache(ModelCache):
    """A `Cache` of transformers, some of whose layers have `recurrent_states` and `conv_states` by number."""

    attribute = "recurrent_states"

    @override
    def carried(self, layer: int) -> Carry:
        if layer >= len(self.own.layers):
            return []
        recurrent = _held(self.own.layers[layer], "recurrent_states")
        return [held[key] for held, key in self._slots(layer)] if recurrent else []

    @override
    def put(self, layer: int, carry: Carry) -> None:
        for (held, key), each in zip(self._slots(layer), carry, strict=True):
            held[key] = each

    @override
    def renew(self) -> list[Tensor]:
        copies = []
        for layer in range(len(self.own.layers)):
            for held, key in self._slots(layer):
                held[key] = held[key].clone()
                copies.append(held[key])
        return copies

    def _slots(self, layer: int) -> list[tuple[dict[int, Tensor], int]]:
        of_layer = self.own.layers[layer]
        return [*_held(of_layer, "recurrent_states"), *_held(of_layer, "conv_states")]


def _held(layer: Any, name: str) -> list[tuple[dict[int, Tensor], int]]:
    states = getattr(layer, name, None) or {}
    return [(states, key) for key, each in states.items() if isinstance(each, Tensor)]


class StackedState(ModelCache):
    """The `state` of RWKV: tensors `[rows, width, layers]` of all layers.

    The model lists the inputs of its blocks first, and then the state of the recurrence.
    """

    attribute = "state"
    _INPUTS = 2

    @override
    def carried(self, layer: int) -> Carry:
        return [self.own[n][:, :, layer] for n in self._recurrence_first()] if layer < self.own[0].shape[2] else []

    @override
    def put(self, layer: int, carry: Carry) -> None:
        for index, each in zip(self._recurrence_first(), carry, strict=True):
            parts = list(self.own[index].unbind(2))
            parts[layer] = each
            self.own[index] = torch.stack(parts, dim=2)

    @override
    def renew(self) -> list[Tensor]:
        self.own[:] = [each.clone() for each in self.own]
        return list(self.own)

    def _recurrence_first(self) -> list[int]:
        return [*range(self._INPUTS, len(self.own)), *range(self._INPUTS)]


def cache_of(output: Any, whose: str) -> ModelCache:
    """Return the cache in the output of a model that was run with `use_cache=True`.

    Args:
        output: The output.
        whose: The name of the model in the error message.

    Raises:
        InvalidArgument: There is none of a known kind. The message names the attribute that is missing.
    """
    found = {name: own for name in _NAMES if (own := getattr(output, name, None)) is not None}
    for name, own in found.items():
        if hasattr(own, "layers"):
            return LayeredCache(name, own)
        if isinstance(own, list) and all(isinstance(each, Tensor) and each.dim() == 3 for each in own):
            return StackedState(name, own)
    lacking = (
        f"its {next(iter(found))} ({type(next(iter(found.values()))).__name__}) has no layers"
        if found
        else f"it returns none of {', '.join(_NAMES)}"
    )
    raise InvalidArgument(f"{whose}, run with use_cache=True, exposes no cache: {lacking}")
