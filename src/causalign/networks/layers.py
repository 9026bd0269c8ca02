"""The layers that networks share, and the initialization of their weights."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn
from typing_extensions import override


class Dropout(nn.Module):
    """Dropout whose masks come from its own generator, which the trainer sets at every step.

    Args:
        share: The share of units that are dropped.
    """

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share
        self.generator: torch.Generator | None = None

    @override
    def forward(self, x: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        if not self.training or self.generator is None:
            return x
        kept = torch.rand(x.shape, generator=self.generator) >= self.share
        return x * kept.to(x) / (1 - self.share)


def readout(width: int, tokens: int) -> nn.Sequential:
    """Return the readout of the paper: an MLP with GELU and dropout of half its hidden units (A.1).

    Args:
        width: The width of its input. The hidden layer has four times as many units.
        tokens: The number of logits.
    """
    return nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), Dropout(0.5), nn.Linear(4 * width, tokens))


def initialise(network: nn.Module, generator: torch.Generator) -> None:
    """Initialize weights as PyTorch does by default, with draws from `generator`."""
    for module in network.modules():
        if isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight, generator=generator)
        elif isinstance(module, nn.Linear | nn.RNNBase):
            fan_in = module.in_features if isinstance(module, nn.Linear) else module.hidden_size
            for weight in module.parameters(recurse=False):
                nn.init.uniform_(weight, -1 / math.sqrt(fan_in), 1 / math.sqrt(fan_in), generator=generator)
        elif isinstance(module, nn.RMSNorm):
            nn.init.ones_(module.weight)
