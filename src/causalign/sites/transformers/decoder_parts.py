"""The parts of a causal language model of Hugging Face by uniform names, found by its structure and by one run of it.

| name | place |
| --- | --- |
| `embedding`, `layer.0` | the residual stream before the first layer |
| `layer.N` | the residual stream after N layers |
| `layer.N.mlp`, `layer.N.attention` | what the MLP or the attention of the N-th layer adds to the residual stream |
| `layer.N.head.K` | the slice of the input of the attention's output projection that query head K writes |

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

from torch import nn

from causalign.errors import CausalignError, InvalidArgument
from causalign.networks.module import submodules
from causalign.sites.modules.place_name import INPUT, PlaceName
from causalign.sites.transformers.attention_heads import heads_of
from causalign.sites.transformers.layer_parts import PartMissing, parts_of
from causalign.sites.transformers.layer_trace import LayerTrace, traced

_RECURRENT = re.compile(r"mamba|rwkv|recurrent|mlstm|xlstm|deltanet|lightning", re.IGNORECASE)
"""The classes of modules that carry a state from token to token."""
_KNOWN: "WeakKeyDictionary[nn.Module, DecoderParts]" = WeakKeyDictionary()


@dataclass(frozen=True)
class DecoderParts:
    """The places of a model by their uniform names."""

    places: Mapping[str, PlaceName] = field(default_factory=dict)
    """The place of each name."""
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
    return DecoderParts(places, missing)


def _name_parts(model: Any, name: str, layer: LayerTrace, into: tuple[dict[str, PlaceName], dict[str, str]]) -> None:
    """Name the parts of one layer, or say why it does not have them."""
    places, missing = into
    carrying = [each.path for each in layer.parts.values() if _RECURRENT.search(type(each.module).__name__)]
    if carrying and "state" not in layer.parts:
        missing[f"{name}.state"] = (
            f"{carrying[-1]} carries its state from token to token within one call, where no hook reaches it; "
            f"swap its output, or {name}"
        )
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
