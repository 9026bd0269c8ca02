"""Example inputs of a module: what it is run on to find its places, and the form that all its inputs have."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from causalign.errors import InvalidArgument, unknown
from causalign.random_streams import torch_stream

ONLY = "input"
"""The name of the input of a module that takes a single tensor."""
IDS, MASK, DECODER_IDS = "input_ids", "attention_mask", "decoder_input_ids"
_ROWS, _TIME = 3, 7
Tensors = Mapping[str, Tensor]
"""Tensors by name, each `[rows, ...]`."""


def tensors_of(given: Any, what: str, module: nn.Module) -> dict[str, Tensor]:
    """Return user-supplied inputs as tensors by name, on the device and in the precision of a module.

    Whole numbers become int64, booleans stay, and all other numbers take the precision of the weights.

    Args:
        given: A tensor or an array `[rows, ...]`, or a mapping of several by name.
        what: The inputs in the error message.
        module: The module.

    Raises:
        InvalidArgument: It is something else, the tensors differ in their number of rows, or there is no row.
    """
    weight = next(module.parameters())
    found = {}
    for name, values in given.items() if isinstance(given, Mapping) else [(ONLY, given)]:
        try:
            tensor = values if isinstance(values, Tensor) else torch.as_tensor(np.asarray(values))
        except (TypeError, ValueError):
            raise InvalidArgument(f"{what}: {name} is not an array of numbers; found {type(values).__name__}") from None
        if tensor.is_complex():
            raise InvalidArgument(f"{what}: {name} holds complex numbers; give their real and imaginary parts apart")
        if not tensor.dim():
            raise InvalidArgument(f"{what}: {name} must have a dimension of rows; found a single number")
        kind = weight.dtype if tensor.is_floating_point() else torch.bool if tensor.dtype == torch.bool else torch.int64
        found[str(name)] = tensor.detach().to(weight.device, kind)
    rows = {name: len(tensor) for name, tensor in found.items()}
    if len(set(rows.values())) != 1 or not next(iter(rows.values())):
        raise InvalidArgument(f"{what} must have the same number of rows, at least one; found {rows}")
    return found


def require_form(given: Tensors, example: Tensors, what: str) -> None:
    """Check that inputs have the names, the kinds and the number of dimensions of the example.

    Raises:
        InvalidArgument: A name is unknown (near matches are named) or missing, or a tensor has another form.
    """
    for name, tensor in given.items():
        if name not in example:
            raise unknown(f"input in {what}", name, example)
        like = example[name]
        if tensor.dim() != like.dim() or tensor.is_floating_point() != like.is_floating_point():
            raise InvalidArgument(f"{what}: {name} must be {_form(like)}, as in the example; found {_form(tensor)}")
    missing = [name for name in example if name not in given]
    if missing:
        raise InvalidArgument(f"{what} lacks {', '.join(missing)}, which the example has")


def _form(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} [rows, {', '.join(map(str, tensor.shape[1:]))}]"


def example_of(module: Any) -> dict[str, Tensor] | None:
    """Return example inputs of a model of Hugging Face by its configuration, or `None` if they are not known from it.

    They are token ids with their mask, and a decoder's first id; or pixels.
    """
    config: Any = getattr(module, "config", None)
    main = getattr(module, "main_input_name", None)
    device = next(module.parameters()).device
    if main == "pixel_values" and hasattr(config, "image_size"):
        size = config.image_size
        height, width = size if isinstance(size, list | tuple) else (size, size)
        drawn = torch.randn(_ROWS, config.num_channels, height, width, generator=torch_stream(0, "example"))
        return {main: drawn.to(device, next(module.parameters()).dtype)}
    if main != IDS or not hasattr(config, "vocab_size"):
        return None
    ids = torch.randint(config.vocab_size, (_ROWS, _TIME), generator=torch_stream(0, "example")).to(device)
    found = {IDS: ids, MASK: torch.ones_like(ids)}
    if getattr(config, "is_encoder_decoder", False):
        found[DECODER_IDS] = torch.full((_ROWS, 1), first_id(config), device=device)
    return found


def first_id(config: Any) -> int:
    """Return the id with which a model's decoder begins."""
    begin = getattr(config, "decoder_start_token_id", None)
    if begin is None:
        begin = getattr(config, "bos_token_id", None)
    return 0 if begin is None else int(begin)
