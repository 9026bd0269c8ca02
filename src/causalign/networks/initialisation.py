"""What a module of others would be before it was trained."""

from copy import deepcopy
from typing import Any

import torch
from torch import nn

from causalign.errors import InvalidArgument
from causalign.random_streams import torch_stream


def untrained_copy(module: nn.Module, seed: int, name: str) -> nn.Module:
    """A module of the same shape, place and precision, its weights drawn anew as its layers draw theirs.

    Raises:
        InvalidArgument: some weights belong to a layer that does not say how it is initialised.
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
        raise InvalidArgument(f"how {name} is before it is trained is not known: {left[0]} has no reset_parameters()")
    return fresh
