"""Hierarchical equality: a network of vectors whose weights are written by hand, and its two variables.

Four vectors a, b, c, d come in; the answer is whether (a = b) is the same as (c = d). The state `code` is a known
rotation of the two variables, left = (a = b) and right = (c = d), in 16 dimensions.
"""

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from typing_extensions import override

from causalign.counterfactuals.dataset import Counterfactuals
from causalign.sites.base import Site
from causalign.validation.problem import Case, Problem

SIZE, WIDTH, GAIN = 4, 16, 10.0
TRAIN, VALIDATION, TEST = 4000, 1000, 4096
VARIABLES = ("left", "right")


class Equality(nn.Module):
    """Logits of "different" and "same" for vectors `[rows, 4, size]`. Vectors differ by 0, or by 0.1 and more."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.code, self.decode = nn.Linear(2, WIDTH, bias=False), nn.Linear(WIDTH, 2, bias=False)
        turned = torch.linalg.qr(torch.randn(WIDTH, WIDTH, generator=generator)).Q[:, :2]
        with torch.no_grad():
            self.code.weight.copy_(turned)
            self.decode.weight.copy_(turned.mT)

    @override
    def forward(self, vectors: Float[Tensor, "rows 4 size"]) -> Float[Tensor, "rows 2"]:
        """Return the logits."""
        a, b, c, d = vectors.unbind(1)
        distances = torch.stack([(a - b).abs().sum(1), (c - d).abs().sum(1)], dim=1)
        equal = torch.relu(1 - GAIN * distances)  # 1 where the vectors are the same, 0 where they differ by 0.1
        left, right = self.decode(self.code(equal)).unbind(1)
        different = torch.relu(left + right) - 2 * torch.relu(left + right - 1)  # exclusive or
        return torch.stack([different, 1 - different], dim=1)


def equality_inputs(
    rows: int, rng: np.random.Generator
) -> tuple[Float[np.ndarray, "rows 4 size"], Int[np.ndarray, "rows 2"]]:
    """Return vectors, and the two variables, each of which is true in half of the rows."""
    equal = rng.integers(0, 2, (rows, 2))
    left, right = rng.normal(size=(rows, SIZE)), rng.normal(size=(rows, SIZE))
    others = rng.normal(size=(2, rows, SIZE))
    pairs = [(each, np.where(equal[:, n, None], each, others[n])) for n, each in enumerate((left, right))]
    return np.stack([pairs[0][0], pairs[0][1], pairs[1][0], pairs[1][1]], axis=1), equal


def equality_rows(site: Site, rng: np.random.Generator) -> Counterfactuals:
    """Return rows in which either variable is swapped, as many of each; the test rows are 2,048 of each."""
    rows = TRAIN + VALIDATION + TEST
    (source, of_source), (target, of_target) = equality_inputs(rows, rng), equality_inputs(rows, rng)
    swapped = np.arange(rows) % 2
    after = of_target.copy()
    after[np.arange(rows), swapped] = of_source[np.arange(rows), swapped]
    return Counterfactuals.from_arrays(
        site,
        source_inputs=source,
        target_inputs=target,
        labels=_same(after).astype(int).tolist(),
        no_swap_labels=_same(of_target).astype(int).tolist(),
        values=of_source[np.arange(rows), swapped].tolist(),
        variables=[VARIABLES[each] for each in swapped],
        split=["train"] * TRAIN + ["validation"] * VALIDATION + ["test"] * TEST,
    )


def equality_case(seed: int) -> Case:
    """Return the case of a seed, which is that of the directions and of the rows."""
    network, rng = Equality(seed).eval(), np.random.default_rng(seed)
    site = Site(network, "code", inputs=equality_inputs(3, rng)[0])
    known = network.code.weight.detach().double().numpy()
    frames = {name: known[:, [index]] for index, name in enumerate(VARIABLES)}
    fields = {"method": "das", "rank": dict.fromkeys(VARIABLES, 1)}
    return Case(equality_rows(site, rng), fields, (frames,))


def _same(values: Int[np.ndarray, "rows 2"]) -> Bool[np.ndarray, " rows"]:
    return values[:, 0] == values[:, 1]


EQUALITY = Problem(
    "hierarchical-equality",
    "Four vectors come in, and the answer is whether the first two are alike just when the last two are. A direction "
    "carries whether the first two are alike, and another, orthogonal to it, the last two.",
    interchangeable=True,
    draw=equality_case,
)
"""The problem."""
