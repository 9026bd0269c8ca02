"""Transformers that tracr has compiled from RASP programs, as torch modules.

The weights are in `_weights/tracr.safetensors`, which `docs/examples/tracr_weights.py` writes. Every direction of the
residual stream has a name there, so that the subspace of every variable is known.

Lindner et al. (2023), Tracr: compiled transformers as a laboratory for interpretability.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from jaxtyping import Float, Int
from safetensors import safe_open
from torch import Tensor, nn

FILE = Path(__file__).parent / "_weights" / "tracr.safetensors"
BOS = "compiler_bos"


@dataclass(frozen=True)
class Program:
    """A compiled program.

    Attributes:
        tokens: The token of each id.
        directions: The name of each direction of the residual stream.
        outputs: The names of the directions that are read out: one of a number, one for each value of a category.
        layers: The number of layers, an attention block and an MLP each.
        heads: The number of attention heads of a layer.
        weights: The weights by tracr's names, without that of the program.
    """

    tokens: Sequence[str]
    directions: Sequence[str]
    outputs: Sequence[str]
    layers: int
    heads: int
    weights: Mapping[str, Tensor] = field(repr=False)

    @classmethod
    def load(cls, name: str) -> "Program":
        """Return the program of a name: `count`, `histogram` or `balance`."""
        with safe_open(FILE, framework="pt") as file:
            described = json.loads(file.metadata()[name])
            names = [key for key in file.keys() if key.startswith(f"{name}.")]  # noqa: SIM118 - the file is no mapping
            weights = {key.removeprefix(f"{name}."): file.get_tensor(key) for key in names}
        return cls(**described, weights=weights)

    def ids(self, text: str) -> list[int]:
        """Return the ids of an input, a token for each character, after the one that begins every input."""
        return [self.tokens.index(each) for each in (BOS, *text)]

    @property
    def inner(self) -> list[int]:
        """The places of the directions that are not read out."""
        return [at for at, name in enumerate(self.directions) if name not in self.outputs]

    def basis(self, *prefixes: str) -> Float[Tensor, "width directions"]:
        """Return the directions whose names begin with one of the prefixes, as columns."""
        places = [at for at, name in enumerate(self.directions) if name.startswith(prefixes)]
        return torch.eye(len(self.directions))[:, places]

    def frame(self, turned: Float[Tensor, "wider inner"] | None = None) -> Float[Tensor, "width directions"]:
        """Return the directions as orthonormal columns in the stream of a module, those that are read out last.

        Args:
            turned: The directions that are not read out, as orthonormal columns. By default each is an axis.
        """
        turned = torch.eye(len(self.inner)) if turned is None else turned
        frame = torch.zeros(len(turned) + len(self.outputs), len(self.directions))
        frame[: len(turned), self.inner] = turned
        frame[len(turned) :, [self.directions.index(name) for name in self.outputs]] = torch.eye(len(self.outputs))
        return frame


class Attention(nn.Module):
    """A block of attention heads, which adds to the residual stream. Every position attends to all."""

    def __init__(self, width: int, inner: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value = (nn.Linear(width, inner) for _ in range(3))
        self.linear = nn.Linear(inner, width)

    def forward(self, stream: Float[Tensor, "rows time width"]) -> Float[Tensor, "rows time width"]:
        """Return the residual stream after the block."""
        query, key, value = (
            read(stream).unflatten(-1, (self.heads, -1)).transpose(1, 2) for read in (self.query, self.key, self.value)
        )
        weights = torch.softmax(query @ key.mT / query.shape[-1] ** 0.5, dim=-1)
        return stream + self.linear((weights @ value).transpose(1, 2).flatten(2))


class MLP(nn.Module):
    """A layer of hidden units, which adds to the residual stream."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.linear_1, self.linear_2 = nn.Linear(width, inner), nn.Linear(inner, width)

    def forward(self, stream: Float[Tensor, "rows time width"]) -> Float[Tensor, "rows time width"]:
        """Return the residual stream after the block."""
        return stream + self.linear_2(torch.relu(self.linear_1(stream)))


class TracrTransformer(nn.Module):
    """A compiled program as a module of ids, `[rows, time]`.

    The residual stream after each block is the output of `blocks.N`: attention where N is even, an MLP where it is odd.

    Args:
        program: The program.
        turned: The directions that are not read out, as orthonormal columns: the module computes the same in a rotated
            basis. By default each is an axis.

    Attributes:
        frame: The direction of each name in the residual stream, as columns.
        inner: The number of dimensions that are not read out, which come first.
    """

    frame: Tensor

    def __init__(self, program: Program, turned: Float[Tensor, "wider inner"] | None = None) -> None:
        super().__init__()
        weights, frame = program.weights, program.frame(turned)
        self.inner = len(frame) - len(program.outputs)
        width, units = len(frame), weights["layer_0.attn.query.w"].shape[1]
        hidden = weights["layer_0.mlp.linear_1.w"].shape[1]
        self.register_buffer("frame", frame)
        self.tokens = nn.Embedding(len(weights["token_embed.embeddings"]), width)
        self.positions = nn.Embedding(len(weights["pos_embed.embeddings"]), width)
        self.blocks = nn.ModuleList()
        for _ in range(program.layers):
            self.blocks += [Attention(width, units, program.heads), MLP(width, hidden)]
        self.unembed = nn.Linear(width, len(program.outputs), bias=False)
        self._copy(program)
        self.eval()

    @torch.no_grad()
    def _copy(self, program: Program) -> None:
        weights, frame = program.weights, self.frame
        for table, name in ((self.tokens, "token_embed"), (self.positions, "pos_embed")):
            table.weight.copy_(weights[f"{name}.embeddings"] @ frame.mT)
        for number, block in enumerate(self.blocks):
            layer = f"layer_{number // 2}." + ("mlp." if number % 2 else "attn.")
            for name, linear in block.named_children():
                assert isinstance(linear, nn.Linear)
                own, bias = weights[f"{layer}{name}.w"].mT, weights[f"{layer}{name}.b"]
                writes = name in ("linear", "linear_2")
                linear.weight.copy_(frame @ own if writes else own @ frame.mT)
                linear.bias.copy_(frame @ bias if writes else bias)
        places = [program.directions.index(name) for name in program.outputs]
        self.unembed.weight.copy_(frame.mT[places])

    def forward(self, ids: Int[Tensor, "rows time"]) -> Float[Tensor, "rows time outputs"]:
        """Return the outputs at every position: logits of a category, or one number."""
        stream = self.tokens(ids) + self.positions(torch.arange(ids.shape[1], device=ids.device))
        for block in self.blocks:
            stream = block(stream)
        logits: Tensor = self.unembed(stream)
        return logits
