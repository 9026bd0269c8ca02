"""The attention function that Hugging Face's layers call while a site runs them.

Hugging Face's layers look up their attention function by name, and pass on to it the keyword arguments that they do not
know. One function therefore serves every family of models. It receives queries and keys after the rotary embedding,
lays packed rows out in one block for each trial, and lets each row attend to the cached keys and values of earlier
positions. The layers need not know that their input is packed, or that a prompt precedes it. All trials attend to the
same keys and values of the prompt.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional

from causalign.sites.transformers.residual_stream import CachedPrefix, KeysValues, Rows

_NAME = "causalign"
_NOWHERE = 2**40  # a position after every query, which is therefore masked


@dataclass(frozen=True, eq=False)
class AttentionCall:
    """The arguments of one call of a layer's attention."""

    layer: int
    query: Float[Tensor, "batch heads rows head"]
    key: Float[Tensor, "batch kv_heads rows head"]
    value: Float[Tensor, "batch kv_heads rows head"]
    scale: float
    window: int | None
    """Number of positions that a row attends to, its own included. `None` stands for all earlier positions."""
    cap: float | None
    """Soft cap of the attention scores. `None` stands for no cap."""

    @property
    def groups(self) -> int:
        """The number of query heads that share a key head."""
        return self.query.shape[1] // self.key.shape[1]


AttentionFunction = Callable[[AttentionCall], Float[Tensor, "batch rows heads head"]]


@dataclass(frozen=True, eq=False)
class Prompt:
    """Keys and values of the prompt that precedes every trial, computed once for all trials."""

    length: int
    cached: Sequence[KeysValues]
    """The keys and values of every layer, each `[1, length, kv_heads * head]`."""

    def of(self, layer: int, like: Float[Tensor, "trials _ kv_heads head"]) -> KeysValues:
        """Return the keys and values of one layer, expanded to the number of trials of `like`."""
        keys, values = (
            each.to(like).unflatten(2, like.shape[2:]).expand(len(like), -1, -1, -1) for each in self.cached[layer]
        )
        return keys, values


class FullAttention:
    """Attention over whole trials.

    Each token attends to the prompt and to the tokens of its trial up to its own. The keys and values of every layer
    are kept in `cached`.
    """

    def __init__(self, prompt: Prompt | None = None) -> None:
        self._prompt = prompt
        self.cached: list[KeysValues] = []

    def __call__(self, call: AttentionCall) -> Float[Tensor, "trials time heads head"]:
        """Compute the attention of one layer."""
        query = call.query
        keys, values = (each.transpose(1, 2) for each in (call.key, call.value))
        self.cached.append((keys.flatten(2), values.flatten(2)))
        keys, values = _joined(
            [(keys, values)] if self._prompt is None else [self._prompt.of(call.layer, keys), (keys, values)]
        )
        key, value = keys.transpose(1, 2), values.transpose(1, 2)
        time = torch.arange(key.shape[2], device=query.device)
        if self._prompt is None and call.cap is None and (call.window is None or call.window >= len(time)):
            attended = functional.scaled_dot_product_attention(
                query, key, value, is_causal=True, scale=call.scale, enable_gqa=call.groups > 1
            )
        else:
            visible = _visible(time[None, -query.shape[2] :], time[None], call.window)
            attended = _attend(
                query, key, value, _hidden(visible, call.groups, query.dtype), scale=call.scale, cap=call.cap
            )
        return attended.transpose(1, 2)


class PackedAttention:
    """Attention over packed rows, in a batch of one.

    Each row attends to the prompt, to the prefix of its trial, and to the columns of its trial up to its own.
    """

    def __init__(self, rows: Rows, prefix: CachedPrefix | None, prompt: Prompt | None = None) -> None:
        self._rows, self._prefix, self._prompt = rows, prefix, prompt
        self._masks: dict[tuple[int | None, int], Tensor] = {}

    def __call__(self, call: AttentionCall) -> Float[Tensor, "1 rows heads head"]:
        """Compute the attention of one layer."""
        packed = (call.query, call.key, call.value)
        queries, *own = (self._rows.blocks(part[0].transpose(0, 1)) for part in packed)
        keys, values = _joined([*self._earlier(call.layer, own[0]), (own[0], own[1])])
        hidden = self._mask(call.window, call.groups, queries.dtype).to(queries.device)
        queries, keys, values = (each.transpose(1, 2) for each in (queries, keys, values))
        attended = _attend(queries, keys, values, hidden, scale=call.scale, cap=call.cap)
        return self._rows.packed(attended.transpose(1, 2))[None]

    def _earlier(self, layer: int, like: Float[Tensor, "trials _ kv_heads head"]) -> Iterator[KeysValues]:
        if self._prompt is not None:
            yield self._prompt.of(layer, like)
        if self._prefix is not None:
            keys, values = (each.unflatten(2, like.shape[2:]) for each in self._prefix.of(layer, like))
            yield keys, values

    def _mask(self, window: int | None, groups: int, dtype: torch.dtype) -> Float[Tensor, "trials 1 rows keys"]:
        if (window, groups) not in self._masks:  # layers of one kind share a mask
            queries, keys = self._positions
            self._masks[window, groups] = _hidden(_visible(queries, keys, window), groups, dtype)
        return self._masks[window, groups]

    @cached_property
    def _positions(self) -> tuple[Int[Tensor, "trials columns"], Int[Tensor, "trials keys"]]:
        """Positions of queries and of keys, counted from B. Prefix keys that a trial must not see are at `_NOWHERE`."""
        start = self._rows.start[:, None]
        columns = start + torch.arange(self._rows.columns, device=start.device)
        keys = [columns]
        if self._prefix is not None:
            time = torch.arange(self._prefix.length, device=start.device)
            keys.insert(0, torch.where(time < self._prefix.seen[:, None], time, _NOWHERE))
        if self._prompt is not None:
            keys.insert(0, torch.arange(-self._prompt.length, 0, device=start.device).expand(len(start), -1))
        return columns, torch.cat(keys, dim=1)


def _joined(
    parts: Sequence[tuple[Tensor, Tensor]],
) -> tuple[Float[Tensor, "trials keys ..."], Float[Tensor, "trials keys ..."]]:
    """Concatenate keys and values along the positions."""
    keys, values = zip(*parts, strict=True)
    return (keys[0], values[0]) if len(parts) == 1 else (torch.cat(keys, dim=1), torch.cat(values, dim=1))


def _visible(
    queries: Int[Tensor, "trials columns"], keys: Int[Tensor, "trials keys"], window: int | None
) -> Bool[Tensor, "trials columns keys"]:
    """Return which keys each query attends to.

    A query attends to its own and to earlier positions. With a window it attends to the last `window` of them, its own
    included.
    """
    behind = queries[:, :, None] - keys[:, None]
    return behind >= 0 if window is None else (behind >= 0) & (behind < window)


def _hidden(
    visible: Bool[Tensor, "trials columns keys"], groups: int, dtype: torch.dtype
) -> Float[Tensor, "trials 1 rows keys"]:
    """Return the additive mask of the scores: 0 at visible keys, minus infinity elsewhere.

    The mask is repeated for the heads of a group, which are stacked one below the other.
    """
    hidden = torch.zeros(visible.shape, dtype=dtype, device=visible.device).masked_fill(~visible, -torch.inf)
    return hidden.repeat(1, groups, 1)[:, None]


def _attend(
    query: Float[Tensor, "trials heads columns head"],
    key: Float[Tensor, "trials kv_heads keys head"],
    value: Float[Tensor, "trials kv_heads keys head"],
    hidden: Float[Tensor, "#trials 1 rows keys"],
    *,
    scale: float,
    cap: float | None,
) -> Float[Tensor, "trials heads columns head"]:
    """Compute grouped-query attention.

    The heads of a group are stacked as additional rows, so that keys and values are not copied.
    """
    stacked = query.unflatten(1, (key.shape[1], -1)).flatten(2, 3)
    if cap is None:
        attended = functional.scaled_dot_product_attention(stacked, key, value, attn_mask=hidden, scale=scale)
    else:  # the soft cap of Gemma 2
        scores = cap * torch.tanh(stacked @ key.transpose(2, 3) * scale / cap) + hidden
        attended = scores.softmax(-1, dtype=torch.float32).to(value.dtype) @ value
    return attended.view(query.shape)


def _called_by_layers(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *_: None,
    scaling: float,
    attending: AttentionFunction,
    sliding_window: int | None = None,
    softcap: float | None = None,
    **__: Any,
) -> tuple[Tensor, None]:
    return attending(AttentionCall(module.layer_idx, query, key, value, scaling, sliding_window, softcap)), None


@contextmanager
def lend_attention(config: Any) -> Iterator[None]:
    """Let the layers of a model attend by the function in their keyword `attending` while the context is open.

    Args:
        config: The model's configuration. Its attention implementation is restored afterwards.
    """
    register: Callable[[str, Any], None] = import_module("transformers").AttentionInterface.register
    register(_NAME, _called_by_layers)
    before = config._attn_implementation
    config._attn_implementation = _NAME
    try:
        yield
    finally:
        config._attn_implementation = before
