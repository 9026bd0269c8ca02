"""A network that solves hierarchical equality by hand, whose two variables lie in known directions.

It reads four ids, a, b, c and d, and predicts whether (a == b) == (c == d). After the last one its hidden state holds
a == b and c == d as +1 or -1 along two directions of a rotated basis, beside the one-hot code of the last id.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

SYMBOLS, FALSE, TRUE = 6, 6, 7
LEFT, RIGHT = "left", "right"


class Pairs(nn.Module):
    """The hidden states: a == b along `basis[0]`, c == d along `basis[1]`, the last id along the others."""

    basis: Tensor

    def __init__(self, width: int, seed: int) -> None:
        super().__init__()
        rng = np.random.default_rng(seed)
        basis = np.linalg.qr(rng.normal(size=(width, width)))[0].T
        self.register_buffer("basis", torch.tensor(basis, dtype=torch.float32))

    def forward(self, ids: Tensor) -> Tensor:
        back = [functional.pad(ids, (steps, 0), value=-1)[:, : ids.shape[1]] for steps in range(4)]
        equal = [(back[3] == back[2]), (back[1] == back[0])]
        features = [(2.0 * each - 1)[..., None] for each in equal] + [functional.one_hot(ids, 8).float()]
        padded = functional.pad(torch.cat(features, dim=-1), (0, len(self.basis) - 10))
        return padded @ self.basis


class Equality(nn.Module):
    """The network. `scale` multiplies its hidden states."""

    def __init__(self, width: int = 12, seed: int = 0, scale: float = 1.0) -> None:
        super().__init__()
        self.pairs, self.scale = Pairs(width, seed), scale
        self.hidden = nn.Linear(width, width, bias=False)
        with torch.no_grad():
            self.hidden.weight.copy_(scale * torch.eye(width))
        self.eval()

    def forward(self, ids: Tensor) -> Tensor:
        states = self.hidden(self.pairs(ids)) / self.scale
        left, right = ((states @ direction)[..., None] for direction in self.pairs.basis[:2])
        agree = 4 * torch.tanh(left * right)
        others = torch.full((*ids.shape, SYMBOLS), -4.0, device=ids.device)
        return torch.cat([others, -agree, agree], dim=-1)


def equality_rows(rows: int, seed: int) -> dict[str, Any]:
    """Counterfactual rows of both variables, as the causal model has them."""
    rng = np.random.default_rng(seed)
    sources, targets = inputs(rows, rng), inputs(rows, rng)
    of_rows = rng.permutation([LEFT, RIGHT] * (rows // 2)).tolist()
    values, labels, own = [], [], []
    for (a, b, c, d), (e, f, g, h), variable in zip(sources, targets, of_rows, strict=True):
        source, target = {LEFT: a == b, RIGHT: c == d}, {LEFT: e == f, RIGHT: g == h}
        after = {**target, variable: source[variable]}
        values.append(bool(source[variable]))
        labels.append(TRUE if after[LEFT] == after[RIGHT] else FALSE)
        own.append(TRUE if target[LEFT] == target[RIGHT] else FALSE)
    return {
        "source_inputs": sources,
        "target_inputs": targets,
        "labels": labels,
        "values": values,
        "variables": of_rows,
        "no_swap_labels": own,
    }


def inputs(rows: int, rng: np.random.Generator) -> list[list[int]]:
    """Four ids in each row. Each pair is equal in half of the rows."""
    ids = rng.integers(0, SYMBOLS, (rows, 4))
    for first in (0, 2):
        same = rng.random(rows) < 0.5
        ids[:, first + 1] = np.where(same, ids[:, first], (ids[:, first] + 1 + rng.integers(0, 5, rows)) % SYMBOLS)
    return [[int(each) for each in row] for row in ids]
