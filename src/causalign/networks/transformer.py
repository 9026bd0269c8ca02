"""The transformer of the paper: two layers with one attention head and rotary positions, and a readout."""

from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional
from typing_extensions import override

from causalign.errors import InvalidArgument
from causalign.networks.base import Network
from causalign.networks.layers import readout
from causalign.tasks.base import Task
from causalign.tasks.vocabulary import Vocabulary

_BASE = 10_000.0


class Transformer(Network):
    """A token embedding, two layers as in Llama but with a GELU MLP, a norm, and a readout MLP (section 2.2, A.1).

    It is trained with void tokens, so that the position of T does not reveal the quantity (section 2.1).

    Args:
        vocabulary: The tokens that the network knows, in the order of their ids.
        task: The task whose trials its sites read.
        width: The width of the residual stream.

    Raises:
        InvalidArgument: The width is odd.
    """

    architecture = "transformer"
    depth: ClassVar[int] = 2

    def __init__(self, vocabulary: Vocabulary, task: Task, width: int) -> None:
        super().__init__(vocabulary, task, width)
        if width % 2:
            raise InvalidArgument(f"rotary positions rotate pairs of units; the width must be even, found {width}")
        self.embedding = nn.Embedding(len(vocabulary), width)
        self.layers = nn.ModuleList(Layer(width) for _ in range(self.depth))
        self.norm = nn.RMSNorm(width)
        self.readout = readout(width, len(vocabulary))

    @override
    @classmethod
    def trained_on(cls, task: Task) -> Task:
        return task.without_positions()

    @override
    def forward(self, tokens: Int[Tensor, "trials time"]) -> Float[Tensor, "trials time vocabulary"]:
        positions = torch.arange(tokens.shape[1], device=tokens.device)
        residual = self.embedding(tokens)
        for layer in self.layers:
            residual = layer(residual, positions)
        logits: Tensor = self.readout(self.norm(residual))
        return logits


class Layer(nn.Module):
    """A layer: attention and an MLP, each applied after a norm and added to the residual stream."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.attention_norm = nn.RMSNorm(width)
        self.attention = Attention(width)
        self.mlp_norm = nn.RMSNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    @override
    def forward(
        self, residual: Float[Tensor, "trials time width"], positions: Int[Tensor, " time"]
    ) -> Float[Tensor, "trials time width"]:
        query, key, value = self.attention.project(self.attention_norm(residual), positions)
        attended = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        return self.finish(residual, attended)

    def finish(
        self, residual: Float[Tensor, "*rows width"], attended: Float[Tensor, "*rows width"]
    ) -> Float[Tensor, "*rows width"]:
        """Return the residual stream after the layer.

        Args:
            residual: The residual stream before the layer.
            attended: The output of the attention head, before its output matrix.
        """
        residual = residual + self.attention.out(attended)
        return residual + self.mlp(self.mlp_norm(residual))


class Attention(nn.Module):
    """One attention head: its four matrices."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.query, self.key, self.value, self.out = (nn.Linear(width, width, bias=False) for _ in range(4))

    def project(
        self, normed: Float[Tensor, "*rows width"], positions: Int[Tensor, "..."]
    ) -> tuple[Float[Tensor, "*rows width"], Float[Tensor, "*rows width"], Float[Tensor, "*rows width"]]:
        """Return the query, the key and the value, query and key rotated to their positions.

        Args:
            normed: The normed residual stream.
            positions: One position for each row, or for each column of rows `[trials, time]`.
        """
        return rotated(self.query(normed), positions), rotated(self.key(normed), positions), self.value(normed)


def rotated(vectors: Float[Tensor, "*rows width"], positions: Int[Tensor, "..."]) -> Float[Tensor, "*rows width"]:
    """Apply the rotary position embedding: rotate units i and i + width / 2 by position / 10000^(2 i / width)."""
    half = vectors.shape[-1] // 2
    speed = _BASE ** (-torch.arange(half, device=vectors.device, dtype=torch.float32) / half)
    angle = positions[..., None] * speed
    cos, sin = angle.cos().to(vectors.dtype), angle.sin().to(vectors.dtype)
    first, second = vectors[..., :half], vectors[..., half:]
    return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1)
