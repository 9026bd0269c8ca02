"""The identity of a network in a cache: its weights, and what it computes from them.

The fingerprint of a network is that of its weights. Code and configuration can differ under the same weights. The
identity therefore includes the structure of the modules and the prompt, and the logits of a small probe, which are
compared up to rounding.
"""

import hashlib
from collections.abc import Iterator
from itertools import count
from math import prod
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from causalign.errors import FileFormatError
from causalign.files import read_tensors, write_tensors
from causalign.networks.base import Network
from causalign.networks.module import FEW
from causalign.networks.tensor_module import TensorModule

_ROUNDING = 1e-5  # largest difference of the logits of the same network, as a share of the largest logit


def network_identity(network: Network, folder: Path) -> str:
    """Return the identity of a network among those of a folder, which keeps the logits of each.

    Call it while no other process does so for this folder.

    Args:
        network: The network.
        folder: The folder of the cache.

    Raises:
        FileFormatError: The folder cannot be written.
    """
    described = hashlib.sha256("\n".join(_description(network)).encode()).hexdigest()[:16]
    logits = _probe(network)
    for number in count():
        identity = f"{network.fingerprint}-{described}-{number}"
        path = folder / f"{identity}.probe.safetensors"
        try:
            before = read_tensors(path)[0]["logits"]
        except (FileFormatError, KeyError):  # there is none, or it is broken
            write_tensors(path, {"logits": logits})
            return identity
        if _same(before, logits, next(network.parameters()).dtype):
            return identity
    raise AssertionError


def _description(network: Network) -> Iterator[str]:
    """Yield what is known of a network beside its weights."""
    weight = next(network.parameters())
    yield f"{type(network).__name__} {weight.device.type} {weight.dtype} {getattr(network, 'prompt', ())}"
    yield repr(network)
    for module in network.modules():
        config: Any = getattr(module, "config", None)
        if hasattr(config, "to_json_string"):
            yield str(config.to_json_string())
            return


@torch.no_grad()
def _probe(network: Network) -> Float[Tensor, "..."]:
    """Return the logits of a network on a few inputs."""
    if isinstance(network, TensorModule):
        inputs: object = network.example
    else:
        inputs = torch.arange(prod(FEW), device=next(network.parameters()).device).view(FEW) % network.inputs
    return network(inputs).float().cpu()


def _same(before: Float[Tensor, "..."], now: Float[Tensor, "..."], dtype: torch.dtype) -> bool:
    if before.shape != now.shape:
        return False
    most = max(_ROUNDING, 4 * torch.finfo(dtype).eps) * max(1.0, float(before.abs().max()))
    return float((before - now).abs().max()) <= most


def same_modules(a: Network, b: Network) -> bool:
    """Return whether two networks run the very same modules, so that a hook in one is a hook in the other."""
    alike = type(a) is type(b) and getattr(a, "prompt", ()) == getattr(b, "prompt", ())
    return a is b or (alike and [*map(id, a.modules())][1:] == [*map(id, b.modules())][1:])
