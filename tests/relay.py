"""A network by hand that carries a variable along another direction at each of two positions.

It reads four ids, a, b, c and d. At position 1 its hidden state holds A, whether a == b, along `axes[0]`, and the
parity of b in a direction orthogonal to it; at position 2 it holds A along `axes[1]`, and the parity of c in a
direction orthogonal to that. The two axes are neither the same nor orthogonal, and the plane of both is in use at both
positions.
From position 2 on it predicts A and the two parities as one id, or `CONFUSED` where the two copies of A disagree.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

SYMBOLS, CONFUSED, VOCABULARY = 6, 8, 9
POSITIONS = (1, 2)
_COSINE = 0.3  # of the angle between the axes


class Carrier(nn.Module):
    """The hidden states: the plane of `basis[0]` and `basis[1]`, and the last id along the other directions."""

    axes: Tensor
    others: Tensor
    basis: Tensor

    def __init__(self, width: int, seed: int) -> None:
        super().__init__()
        rng = np.random.default_rng(seed)
        basis = torch.tensor(np.linalg.qr(rng.normal(size=(width, width)))[0].T, dtype=torch.float32)
        sine = (1 - _COSINE**2) ** 0.5
        self.register_buffer("basis", basis)
        self.register_buffer("axes", torch.stack([basis[0], _COSINE * basis[0] + sine * basis[1]]))
        self.register_buffer("others", torch.stack([basis[1], sine * basis[0] - _COSINE * basis[1]]))

    def forward(self, ids: Tensor) -> Tensor:
        states = functional.one_hot(ids, VOCABULARY).float() @ self.basis[2 : 2 + VOCABULARY]
        equal = 2.0 * (ids[:, 0] == ids[:, min(1, ids.shape[1] - 1)]) - 1
        added = torch.zeros_like(states)
        for place, position in enumerate(POSITIONS):
            if position < ids.shape[1]:
                parity = 2.0 * (ids[:, position] % 2) - 1
                added[:, position] = equal[:, None] * self.axes[place] + parity[:, None] * self.others[place]
        return states + added


class Relay(nn.Module):
    """The network. `scale` multiplies its hidden states."""

    def __init__(self, width: int = 12, seed: int = 0, scale: float = 1.0) -> None:
        super().__init__()
        self.carrier, self.scale = Carrier(width, seed), scale
        self.hidden = nn.Linear(width, width, bias=False)
        with torch.no_grad():
            self.hidden.weight.copy_(scale * torch.eye(width))
        self.eval()

    def forward(self, ids: Tensor) -> Tensor:
        states = self.hidden(self.carrier(ids)) / self.scale
        first, second = (functional.pad(states, (0, 0, 0, 3))[:, position] for position in POSITIONS)
        axes, others = self.carrier.axes, self.carrier.others
        copies, parities = (first @ axes[0] + second @ axes[1]), (first @ others[0], second @ others[1])
        signs = torch.tensor([[a, b, c] for a in (-1.0, 1.0) for b in (-1.0, 1.0) for c in (-1.0, 1.0)])
        read = torch.stack([copies, *parities], dim=-1) @ signs.mT.to(states)  # 4 where right, 2 where copies disagree
        logits = 4 * functional.pad(read, (0, VOCABULARY - CONFUSED), value=3.0)
        later = torch.arange(ids.shape[1], device=ids.device)[:, None] >= POSITIONS[1]
        return torch.where(later, logits[:, None], torch.zeros_like(logits[:, None]))


def label(equal: bool, b: int, c: int) -> int:
    """The id of the right prediction."""
    return 4 * equal + 2 * (b % 2) + c % 2


def relay_rows(rows: int, seed: int) -> dict[str, Any]:
    """Counterfactual rows of A, as the causal model has them: the parities stay the target's."""
    inputs = _pairs(rows, seed)
    equal = [source[0] == source[1] for source in inputs["source_inputs"]]
    labels = [label(of_source, b, c) for of_source, (_, b, c, _) in zip(equal, inputs["target_inputs"], strict=True)]
    return inputs | {"labels": labels, "values": equal}


def two_variable_rows(rows: int, seed: int) -> dict[str, Any]:
    """The same of A in half of the rows, and of the parity of c in the others."""
    inputs = _pairs(rows, seed)
    variables, values, labels = ["equal", "parity"] * (rows // 2), [], []
    for variable, source, target in zip(variables, inputs["source_inputs"], inputs["target_inputs"], strict=True):
        equal, c = (source[0] == source[1], target[2]) if variable == "equal" else (target[0] == target[1], source[2])
        values.append(equal if variable == "equal" else bool(c % 2))
        labels.append(label(equal, target[1], c))
    return inputs | {"labels": labels, "values": values, "variables": variables}


def _pairs(rows: int, seed: int) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    sources, targets = _inputs(rows, rng), _inputs(rows, rng)
    return {
        "source_inputs": sources,
        "target_inputs": targets,
        "source_positions": POSITIONS,
        "target_positions": POSITIONS,
        "no_swap_labels": [label(a == b, b, c) for a, b, c, _ in targets],
    }


def _inputs(rows: int, rng: np.random.Generator) -> list[list[int]]:
    """Four ids in each row, the first two equal in half of the rows."""
    ids = rng.integers(0, SYMBOLS, (rows, 4))
    ids[:, 1] = np.where(rng.random(rows) < 0.5, ids[:, 0], (ids[:, 0] + 1 + rng.integers(0, 5, rows)) % SYMBOLS)
    return [[int(each) for each in row] for row in ids]
