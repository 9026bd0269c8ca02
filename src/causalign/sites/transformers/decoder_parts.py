"""The parts of a causal language model of Hugging Face by uniform names, found by its structure and by one run of it.

| name | place |
| --- | --- |
| `embedding`, `layer.0` | the residual stream before the first layer |
| `layer.N` | the residual stream after N layers |
| `layer.N.mlp`, `layer.N.attention` | what the MLP or the attention of the N-th layer adds to the residual stream |
| `layer.N.head.K` | the slice of the input of the attention's output projection that query head K writes |
| `layer.N.state` | what a recurrent layer carries from token to token, as the model's cache has it |

A table of families would soon be out of date. The layers are the one list of modules of which each is run once, and the
attention and the MLP are found among their children. Some modules return the residual stream, and some families
normalise what a module returns before it is added. Which outputs are added is therefore seen in a run: their sum is the
difference between the layer's output and its input.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import nn

from causalign.errors import CausalignError, InvalidArgument
from causalign.networks.module import few_tokens, submodules
from causalign.networks.module_run import run_module
from causalign.sites.modules.place_name import INPUT, PlaceName
from causalign.sites.transformers.attention_heads import heads_of
from causalign.sites.transformers.layer_parts import PartMissing, parts_of
from causalign.sites.transformers.layer_trace import LayerTrace, traced
from causalign.sites.transformers.model_cache import ModelCache, cache_of

_RECURRENT = re.compile(r"mamba|mixer|rwkv|recurrent(?!gemma)|rglru|mlstm|xlstm|delta|lightning", re.IGNORECASE)
_NOT_RECURRENT = re.compile(r"(norm|normgated|mlp|feedforward|experts|moe)$", re.IGNORECASE)
"""The classes of modules that carry a state from token to token, and those of modules beside them."""
_KNOWN: "WeakKeyDictionary[nn.Module, DecoderParts]" = WeakKeyDictionary()


@dataclass(frozen=True)
class CarriedState:
    """What one layer carries from token to token."""

    layer: int
    """The index of the layer in the model's cache, counted from 0."""
    module: str
    """The path of the module that carries it."""
    width: int
    """The number of its coordinates."""


@dataclass(frozen=True)
class DecoderParts:
    """The places of a model by their uniform names."""

    places: Mapping[str, PlaceName] = field(default_factory=dict)
    """The place of each name."""
    states: Mapping[str, CarriedState] = field(default_factory=dict)
    """The states that recurrent layers carry. No hook reaches them."""
    missing: Mapping[str, str] = field(default_factory=dict)
    """Why there is no such place, by name. The name `layer.N.head` stands for all heads of a layer."""

    def require(self, at: str, whose: str) -> None:
        """Check that a name is not one of a part that the model does not have.

        Args:
            at: The name.
            whose: The name of the model in the error message.

        Raises:
            InvalidArgument: The model does not have this part. The message gives the reason.
        """
        for name, reason in self.missing.items():
            if at == name or at.startswith((f"{name}.", f"{name}[", f"{name}:")):
                raise InvalidArgument(f"{whose} has no place {at}: {reason}")


def decoder_parts(model: Any) -> DecoderParts:
    """Return the parts of a causal language model of Hugging Face. Other modules have none.

    Args:
        model: The model. It is run once on a few tokens, when it is first asked about.
    """
    if not hasattr(getattr(model, "config", None), "model_type"):
        return DecoderParts()
    if model not in _KNOWN:
        _KNOWN[model] = _found(model)
    return _KNOWN[model]


def _found(model: nn.Module) -> DecoderParts:
    try:
        layers = traced(model)
    except CausalignError as error:
        return DecoderParts(missing={"layer": str(error), "embedding": str(error)})
    places = {"embedding": PlaceName(layers[0].path, INPUT), "layer.0": PlaceName(layers[0].path, INPUT)}
    missing: dict[str, str] = {}
    for number, layer in enumerate(layers, start=1):
        places[f"layer.{number}"] = PlaceName(layer.path)
        _name_parts(model, f"layer.{number}", layer, (places, missing))
    states = _states(model, layers)
    missing |= {name: each for name, each in states.items() if isinstance(each, str)}
    return DecoderParts(places, {at: each for at, each in states.items() if isinstance(each, CarriedState)}, missing)


def _states(model: nn.Module, layers: list[LayerTrace]) -> dict[str, CarriedState | str]:
    """Return what each recurrent layer carries, by its uniform name, or why the model does not show it."""
    carrying = {
        number: path
        for number, layer in enumerate(layers)
        for path in [each.path for each in layer.parts.values() if _is_recurrent(each.module)][-1:]
    }
    if not carrying:
        return {}
    try:
        cache: ModelCache | str = _cache(model)
    except CausalignError as error:
        cache = str(error)
    found: dict[str, CarriedState | str] = {}
    for number, path in carrying.items():
        if isinstance(cache, ModelCache) and (carry := cache.carried(number)):
            state = CarriedState(number, path, sum(each[0].numel() for each in carry))
            found[f"layer.{number + 1}.state"] = state
            continue
        reason = cache if isinstance(cache, str) else f"entry {number} of its {cache.name} has no {cache.attribute}"
        found[f"layer.{number + 1}.state"] = (
            f"{path} carries its state from token to token within one call, where no hook reaches it, and {reason}; "
            f"swap its output, or layer.{number + 1}"
        )
    return found


def _is_recurrent(module: nn.Module) -> bool:
    name = type(module).__name__
    return bool(_RECURRENT.search(name)) and not _NOT_RECURRENT.search(name)


@torch.no_grad()
def _cache(model: nn.Module) -> ModelCache:
    """Return the cache of a run on a few tokens."""
    name, tokens = type(model).__name__, few_tokens(model)
    output = run_module(model, (tokens,), {"use_cache": True}, name, f"token ids {list(tokens.shape)} with use_cache")
    return cache_of(output, name)


def _name_parts(model: Any, name: str, layer: LayerTrace, into: tuple[dict[str, PlaceName], dict[str, str]]) -> None:
    """Name the parts of one layer, or say why it does not have them."""
    places, missing = into
    parts = parts_of(layer)
    for part, found in (("attention", parts.attention), ("mlp", parts.mlp)):
        if isinstance(found, PartMissing):
            missing[f"{name}.{part}"] = found.reason
        else:
            places[f"{name}.{part}"] = PlaceName(found)
    try:
        if isinstance(parts.attention, PartMissing):
            raise InvalidArgument(parts.attention.reason)
        assert parts.attention_module is not None
        heads = heads_of(model.config, submodules(model), parts.attention_module, layer)
    except InvalidArgument as error:
        missing[f"{name}.head"] = str(error)
        return
    for head in range(heads.count):
        start = head * heads.width
        places[f"{name}.head.{head}"] = PlaceName(heads.projection, INPUT, start, start + heads.width)
