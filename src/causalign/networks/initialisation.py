"""Re-initialization of a user-supplied module, for the control `untrained`."""

from copy import deepcopy
from typing import Any

import torch
from torch import nn

from causalign.errors import InvalidArgument
from causalign.random_streams import torch_stream


def untrained_copy(module: nn.Module, seed: int, name: str) -> nn.Module:
    """Return an untrained module of the same shape, device and precision.

    Every layer draws its weights anew by its own `reset_parameters`. A model of Hugging Face is made from its
    configuration instead.

    Args:
        module: The module. It is not changed.
        seed: The seed of the weights.
        name: The name of the module in the error message.

    Raises:
        InvalidArgument: A weight belongs to a layer without `reset_parameters`.
    """
    weight = next(module.parameters())
    with torch.random.fork_rng(devices=[]):  # layers draw from the global generator
        torch.manual_seed(torch_stream(seed, "initialise").initial_seed())
        if hasattr(module, "config") and hasattr(module, "from_pretrained"):
            kind: Any = type(module)
            with torch.device("cpu"):
                return kind(module.config).to(weight.device, weight.dtype).eval()
        fresh, drawn = deepcopy(module), set[int]()
        for layer in fresh.modules():
            if callable(reset := getattr(layer, "reset_parameters", None)):
                reset()
                drawn |= {id(each) for each in layer.parameters(recurse=False)}
    left = [path for path, each in fresh.named_parameters() if id(each) not in drawn]
    if left:
        raise InvalidArgument(f"{name} cannot be re-initialized: the layer of {left[0]} has no reset_parameters()")
    return fresh
