"""The trace of the decoder layers of a model: the inputs and outputs of their parts in one run."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from causalign.errors import InvalidArgument
from causalign.networks.module import FEW, run, submodules


@dataclass(frozen=True, eq=False)
class PartTrace:
    """What one part of a layer received and returned."""

    path: str
    module: nn.Module
    received: tuple[Float[Tensor, "..."], ...]
    """The floating-point tensors that it received."""
    returned: Float[Tensor, "trials time ..."] | None
    """The first floating-point tensor that it returned, if that has an entry for every trial and token.

    Trials and time are two dimensions, also where the part returns them as one.
    """


@dataclass(frozen=True, eq=False)
class LayerTrace(PartTrace):
    """What one layer and its parts received and returned."""

    parts: Mapping[str, PartTrace]
    """The parts that were called once, by their path in the layer, in the order in which they returned."""


def traced(model: nn.Module) -> list[LayerTrace]:
    """Run a model once, and return the traces of its layers from the lowest to the highest.

    Raises:
        InvalidArgument: The model cannot be run on token ids, or has no list of layers, or several.
    """
    there = submodules(model)
    calls: dict[str, list[PartTrace]] = {}
    lists = {path: each for path, each in there.items() if _may_be_layers(path, each, there)}
    if not lists:
        raise InvalidArgument("no list of decoder layers was found in it")
    below = tuple(f"{path}." for path in lists)
    with _recording({path: each for path, each in there.items() if path.startswith(below)}, calls), torch.no_grad():
        run(model, _few_distinct_tokens(model), type(model).__name__)
    found = {path: [f"{path}.{n}" for n, _ in enumerate(each.children())] for path, each in lists.items()}
    found = {path: layers for path, layers in found.items() if all(_is_run_once(calls.get(at, [])) for at in layers)}
    if len(found) != 1:
        raise InvalidArgument(
            f"its decoder layers are not clear: {len(found)} of the lists {', '.join(lists)} are run layer by layer"
        )
    (layers,) = found.values()
    return [_layer(calls[path][0], calls) for path in layers]


def _may_be_layers(path: str, module: nn.Module, there: Mapping[str, nn.Module]) -> bool:
    """Whether a module is a list of modules with parts, and not within another one."""
    entries = list(module.children()) if isinstance(module, nn.ModuleList) else []
    if not entries or not all(any(each.children()) for each in entries):
        return False
    parents = [path[:end] for end, letter in enumerate(path) if letter == "."]
    return not any(isinstance(there[parent], nn.ModuleList) for parent in parents)


def _is_run_once(calls: Sequence[PartTrace]) -> bool:
    """Whether a module was called once, on a residual stream that it returned."""
    returned = calls[0].returned if len(calls) == 1 else None
    return returned is not None and any(each.shape == returned.shape for each in calls[0].received)


def _layer(whole: PartTrace, calls: Mapping[str, list[PartTrace]]) -> LayerTrace:
    within = f"{whole.path}."
    parts = {path[len(within) :]: each[0] for path, each in calls.items() if path.startswith(within) and len(each) == 1}
    return LayerTrace(whole.path, whole.module, whole.received, whole.returned, parts)


@contextmanager
def _recording(modules: Mapping[str, nn.Module], calls: dict[str, list[PartTrace]]) -> Iterator[None]:
    """Open a context in which every call is recorded by its path. Tensors are copied before others change them."""
    received: dict[str, list[tuple[Tensor, ...]]] = {path: [] for path in modules}

    def before(path: str, args: Any, kwargs: Any) -> None:
        received[path].append(_floating((args, kwargs)))

    def after(path: str, module: nn.Module, output: Any) -> None:
        returned = _with_entries(next(iter(_floating(output)), None))
        calls.setdefault(path, []).append(PartTrace(path, module, received[path].pop(), returned))

    hooks = []
    for path, module in modules.items():
        hooks += [
            module.register_forward_pre_hook(
                lambda _, args, kwargs, path=path: before(path, args, kwargs), with_kwargs=True
            ),
            module.register_forward_hook(lambda module, _, output, path=path: after(path, module, output)),
        ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _floating(value: Any) -> tuple[Tensor, ...]:
    leaves = pytree.tree_flatten(value)[0]
    return tuple(leaf.clone() for leaf in leaves if isinstance(leaf, Tensor) and leaf.is_floating_point())


def _with_entries(tensor: Tensor | None) -> Tensor | None:
    """Return a tensor that is `[trials, time, ...]`, or `[streams, trials, time, width]`; of others return `None`."""
    if tensor is None:
        return None
    if tensor.dim() == 2 and len(tensor) == FEW[0] * FEW[1]:
        return tensor.unflatten(0, FEW)
    known = tensor.dim() > 2 and (tensor.shape[:2] == FEW or (tensor.dim() == 4 and tensor.shape[1:3] == FEW))
    return tensor if known else None


def _few_distinct_tokens(model: Any) -> Int[Tensor, "trials time"]:
    """Return a few token ids that differ, so that no two parts return the same by chance."""
    embeddings = getattr(model, "get_input_embeddings", lambda: None)()
    known = getattr(embeddings, "num_embeddings", 2)
    ids = torch.arange(FEW[0] * FEW[1]).view(FEW).remainder(known)
    return ids.to(next(model.parameters()).device)
