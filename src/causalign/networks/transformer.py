"""The paper's transformer: two layers with one attention head and rotary positions, and a readout."""

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
    """Token embedding, two layers as in Llama but with a GELU MLP, a norm, the readout MLP (section 2.2, A.1).

    It is trained with void tokens, so that the position of T does not give the quantity away (section 2.1).
    """

    architecture = "transformer"
    depth: ClassVar[int] = 2

    def __init__(self, vocabulary: Vocabulary, task: Task, width: int) -> None:
        super().__init__(vocabulary, task, width)
        if width % 2:
            raise InvalidArgument(f"rotary positions turn pairs of units: the width must be even, found {width}")
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
    """Attention and an MLP, each behind a norm and added to the residual stream."""

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
        """The residual stream after the layer, from what its attention gathered."""
        residual = residual + self.attention.out(attended)
        return residual + self.mlp(self.mlp_norm(residual))


class Attention(nn.Module):
    """The four matrices of one attention head."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.query, self.key, self.value, self.out = (nn.Linear(width, width, bias=False) for _ in range(4))

    def project(
        self, normed: Float[Tensor, "*rows width"], positions: Int[Tensor, "..."]
    ) -> tuple[Float[Tensor, "*rows width"], Float[Tensor, "*rows width"], Float[Tensor, "*rows width"]]:
        """Query and key, turned to their positions, and value. There is one position a row, or a column of rows."""
        return rotated(self.query(normed), positions), rotated(self.key(normed), positions), self.value(normed)


def rotated(vectors: Float[Tensor, "*rows width"], positions: Int[Tensor, "..."]) -> Float[Tensor, "*rows width"]:
    """Rotary position embedding: units i and i + width / 2 are turned by position / 10000^(2 i / width)."""
    half = vectors.shape[-1] // 2
    speed = _BASE ** (-torch.arange(half, device=vectors.device, dtype=torch.float32) / half)
    angle = positions[..., None] * speed
    cos, sin = angle.cos().to(vectors.dtype), angle.sin().to(vectors.dtype)
    first, second = vectors[..., :half], vectors[..., half:]
    return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1)
