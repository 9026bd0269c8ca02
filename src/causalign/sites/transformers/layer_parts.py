"""The attention and the MLP of a decoder layer: the outputs that the layer adds to the residual stream."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import torch
from jaxtyping import Float
from torch import Tensor, nn

from causalign.sites.transformers.layer_trace import LayerTrace, PartTrace

_ATTENTION = re.compile(r"att(entio)?n", re.IGNORECASE), re.compile(r"(Attention|Attn)$")
_MLP = re.compile(r"mlp|ffn|^ff$|feed_?forward|moe|experts", re.IGNORECASE), re.compile(r"(MLP|FeedForward|Mo[eE])$")
"""The names of parts of a kind, and those of their classes, which count where no part has such a name."""
_NEITHER = (
    re.compile(r"norm|dropout|^ln|gate$|router|act(ivation)?_?fn|_hc$", re.IGNORECASE),
    re.compile(r"(Norm|NormGated|Dropout|Router|Gate|Activation)$"),
)
_TOLERANCE = 1e-3
"""The largest part of what a layer adds that its parts may leave unexplained, beside rounding."""


@dataclass(frozen=True)
class PartMissing:
    """The reason why a layer has no such part."""

    reason: str


@dataclass(frozen=True)
class LayerParts:
    """The paths of the outputs that a layer adds to the residual stream, in the whole model."""

    attention: str | PartMissing
    mlp: str | PartMissing
    attention_module: str | None
    """The path of the attention module, whose output may be normalised before it is added."""


def parts_of(layer: LayerTrace) -> LayerParts:
    """Return the parts of a layer.

    Where the layer adds up its parts, each part is what is added. Elsewhere it is the output of the part's module or,
    where the module adds the residual stream by itself and normalises the sum, as in BERT, of its last linear layer.
    """
    children = {path: each for path, each in layer.parts.items() if _is_child(path, layer)}
    attention = _of_kind(_ATTENTION, children)
    left = {path: each for path, each in children.items() if path not in attention and not _is_neither(path, each)}
    mlps = _of_kind(_MLP, left) or _without_module(children)
    others = {path: each for path, each in left.items() if path not in mlps and _may_be_added(each, layer)}
    added = _added(layer, [*attention.values(), *mlps.values(), *others.values()])
    return LayerParts(
        _part("attention", attention, children, layer, added),
        _part("MLP", mlps, children, layer, added),
        next(iter(attention.values())).path if len(attention) == 1 else None,
    )


def _may_be_added(part: PartTrace, layer: LayerTrace) -> bool:
    """Whether a part of another kind returns a state of the layer's shape, and is more than a linear layer."""
    assert part.returned is not None
    assert layer.returned is not None
    return part.returned.shape == layer.returned.shape and not isinstance(part.module, nn.Linear)


def _is_neither(path: str, part: PartTrace) -> bool:
    """Whether a part is a norm, an activation or the like, or returns no state of every position."""
    name, of_class = _NEITHER
    return bool(name.search(path) or of_class.search(type(part.module).__name__) or part.returned is None)


def _of_kind(kind: tuple[re.Pattern[str], re.Pattern[str]], children: dict[str, PartTrace]) -> dict[str, PartTrace]:
    """Return the children of one kind, by their names or else by those of their classes."""
    able = {path: each for path, each in children.items() if not _is_neither(path, each)}
    name, of_class = kind
    by_name = {path: each for path, each in able.items() if name.search(path)}
    return by_name or {path: each for path, each in able.items() if of_class.search(type(each.module).__name__)}


def _without_module(children: dict[str, PartTrace]) -> dict[str, PartTrace]:
    """Return the last part of an MLP without a module of its own: two linear layers, as in OPT, or parts as in BERT."""
    linear = [path for path, each in children.items() if isinstance(each.module, nn.Linear)]
    last = linear[-1:] if len(linear) > 1 else ["output"] if {"intermediate", "output"} <= set(children) else []
    return {path: children[path] for path in last}


def _part(
    what: str,
    found: dict[str, PartTrace],
    children: dict[str, PartTrace],
    layer: LayerTrace,
    added: dict[str, str] | None,
) -> str | PartMissing:
    """Return the path of one part's output, or why there is none."""
    if not found:
        return PartMissing(f"{layer.path} has no {what} of its own; its parts are {', '.join(children) or 'unknown'}")
    if len(found) > 1:
        return PartMissing(f"{layer.path} has several ({', '.join(found)}); name one by its path")
    (part,) = found.values()
    if any(_MLP[0].search(each.path.removeprefix(part.path)) for each in _within(part, layer)) and what != "MLP":
        return PartMissing(f"{part.path} has an MLP or experts in it, so that it is no attention by itself")
    if added is not None:
        return added[part.path]
    within = _within(part, layer)
    last = max((n for n, each in enumerate(within) if is_projection(each)), default=len(within))
    if any(type(each.module).__name__.endswith("Norm") for each in within[last + 1 :]):
        return within[last].path
    if _same(part.returned, layer.returned):
        return PartMissing(f"{part.path} returns the residual stream, and not what is added to it")
    return part.path


def _is_child(path: str, layer: LayerTrace) -> bool:
    """Whether a part is a child of the layer, or an entry of a list that is one."""
    parent = path.rpartition(".")[0]
    return not parent or ("." not in parent and isinstance(layer.module.get_submodule(parent), nn.ModuleList))


def _within(part: PartTrace, layer: LayerTrace) -> list[PartTrace]:
    """Return the parts of a part."""
    return [each for each in layer.parts.values() if each.path.startswith(f"{part.path}.")]


def _added(layer: LayerTrace, parts: Sequence[PartTrace]) -> dict[str, str] | None:
    """Return the path of what the layer adds for each part: outputs whose sum is what it adds to its input.

    Each output may be multiplied by a number. Returns `None` where no outputs add up to it.
    """
    returned = layer.returned
    assert returned is not None
    before = next(each for each in layer.received if each.shape == returned.shape)
    rounding = 8 * torch.finfo(returned.dtype).eps * max(float(returned.abs().max()), float(before.abs().max()))
    change = (returned.double() - before.double()).flatten()
    most = _TOLERANCE * float(change.abs().max()) + rounding
    for chosen in product(*(list(_outputs(part, layer)) for part in parts)):
        outputs = [each.returned for each in chosen]
        if any(each is None or each.shape != returned.shape for each in outputs):
            continue
        columns = torch.stack([each.double().flatten() for each in outputs if each is not None], dim=1)
        if _explains(columns, change, most):
            return {part.path: each.path for part, each in zip(parts, chosen, strict=True)}
    return None


def _explains(columns: Float[Tensor, "numbers outputs"], change: Float[Tensor, " numbers"], most: float) -> bool:
    """Whether a change is a weighted sum of outputs, none of which is left out."""
    if not columns.shape[1]:
        return False
    weights = torch.linalg.lstsq(columns, change[:, None]).solution[:, 0]
    unexplained = float((columns @ weights - change).abs().max())
    return unexplained <= most and bool((weights.abs() > 1e-2).all())


def _outputs(part: PartTrace, layer: LayerTrace) -> Iterator[PartTrace]:
    """Yield what a layer may add for one of its parts: its output, that output normalised, or that of its projection.

    The projection is what is added where the part adds the residual stream by itself.
    """
    yield part
    own = part.returned
    for path, other in layer.parts.items():
        is_sibling = _is_child(path, layer) and other is not part and own is not None
        if is_sibling and any(_same(each, own) for each in other.received) and not _same(other.returned, own):
            yield other
    yield from [each for each in _within(part, layer) if is_projection(each)][-1:]


def is_projection(part: PartTrace) -> bool:
    """Whether a part is a linear layer, also one written as a convolution, as in GPT-2."""
    return isinstance(part.module, nn.Linear) or type(part.module).__name__ == "Conv1D"


def _same(one: Tensor | None, other: Tensor | None) -> bool:
    return one is not None and other is not None and one.shape == other.shape and torch.equal(one, other)
