"""The query heads of an attention: slices of the input of its output projection."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from causalign.errors import InvalidArgument
from causalign.sites.transformers.layer_parts import is_projection
from causalign.sites.transformers.layer_trace import LayerTrace

_COUNTS = ("num_heads", "num_attention_heads", "n_heads", "n_head", "num_query_heads")
_WIDTHS = ("v_head_dim", "head_dim", "head_size", "attention_head_size", "d_head", "key_value_proj_dim")
_REFUSED = {
    "diffllama": "its heads are differences of pairs of heads",
    "openelm": "its heads differ from layer to layer",
}
"""Families in which slices of the projection's input are not heads, although their sizes say so."""


@dataclass(frozen=True)
class Heads:
    """The heads of one attention."""

    projection: str
    """The path of the output projection."""
    count: int
    width: int


def heads_of(config: Any, there: Mapping[str, nn.Module], attention: str, layer: LayerTrace) -> Heads:
    """Return the heads of an attention.

    Args:
        config: The configuration of the model.
        there: All submodules of the model by path.
        attention: The path of the attention.
        layer: The trace of its layer.

    Raises:
        InvalidArgument: The heads are not slices of the input of one projection, or their number or width is not known.
    """
    if config.model_type in _REFUSED:
        raise InvalidArgument(_REFUSED[config.model_type])
    parts = [each for each in layer.parts.values() if each.path.startswith(f"{attention}.") and is_projection(each)]
    if not parts:
        raise InvalidArgument(f"{attention} has no output projection that is a linear layer")
    projection = parts[-1]
    width = projection.received[0].shape[-1]
    owners = [there[projection.path.rpartition(".")[0]], *there[attention].modules()]
    text = getattr(config, "get_text_config", lambda: config)()
    count = _first(_COUNTS, [*owners, *(getattr(each, "config", None) for each in owners), text])
    of_one = _first(_WIDTHS, owners)
    own_count = _first(_COUNTS, owners)
    if of_one is None and own_count is not None and width % own_count == 0:
        of_one = width // own_count  # as in GPT, which divides the width by the number of heads
    if count is None or of_one is None:
        raise InvalidArgument(f"{attention} does not say how many heads it has, or how wide they are")
    if count * of_one != width:
        raise InvalidArgument(
            f"{projection.path} takes {width} numbers, which are not those of {count} heads of width {of_one}"
        )
    return Heads(projection.path, count, of_one)


def _first(names: tuple[str, ...], owners: list[Any]) -> int | None:
    """Return the first attribute of these names that is a whole number."""
    found = (getattr(owner, name, None) for owner in owners for name in names)
    return next((each for each in found if isinstance(each, int) and each > 0), None)
