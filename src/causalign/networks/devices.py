"""Devices of modules whose weights may be spread over several of them."""

import torch
from jaxtyping import Float
from torch import Tensor, nn


def device_of(module: nn.Module, like: Tensor) -> torch.device:
    """Return the device of a module's first weight, or that of `like` if the module has no weights."""
    return next((weight.device for weight in module.parameters()), like.device)


def run_there(module: nn.Module, states: Float[Tensor, "rows ..."]) -> Float[Tensor, "rows ..."]:
    """Run a module on its own device, and return what it returns on the device of `states`."""
    returned: Tensor = module(states.to(device_of(module, states)))
    return returned.to(states.device)
