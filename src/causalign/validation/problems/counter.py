"""A recurrent network, written by hand, that counts: the count is a coordinate along a known direction of its state.

    h_t = relu(u u^T h_(t-1) + u d [x_t is a tick] + e(x_t)),        count = u^T h_t / d

u is a unit vector without negative entries, and e(x) marks the token along an axis that is orthogonal to it.
"""

from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from typing_extensions import override

from causalign.counterfactuals.dataset import Counterfactuals
from causalign.random_streams import numpy_stream
from causalign.sites.base import Site
from causalign.validation.problem import Case, Problem

LENGTH = 8
ANSWERS = 2 * LENGTH
"""The number of counts that a swap can lead to."""
NONE, TICK, OTHER = ANSWERS, ANSWERS + 1, ANSWERS + 2
COUNT = "count"
_UNITS, _TOLERANCE, _STEEPNESS = 6, 0.1, 800.0
_TRAIN, _VALIDATION, _TEST = 1000, 300, 600


class Counter(nn.Module):
    """Logits of the count after every token, for ids `[trials, time]`: the counts, none, and the two tokens.

    It answers with `NONE` where the coordinate of the count is within the tolerance of no whole number.

    Args:
        width: The width of the state.
        step: The length d of one tick.
        seed: The seed of the direction u and of the units that have none of it.

    Attributes:
        direction: The direction u, `[width, 1]`.
    """

    def __init__(self, width: int, step: float, seed: int) -> None:
        super().__init__()
        rng, vocabulary = numpy_stream(seed, "counter"), ANSWERS + 3
        units = rng.permutation(width)
        self.direction = np.zeros((width, 1))
        self.direction[units[:_UNITS], 0] = rng.uniform(0.5, 1.0, _UNITS)
        self.direction /= np.linalg.norm(self.direction)
        embedded = np.zeros((vocabulary, width))
        embedded[TICK] = step * self.direction[:, 0]
        embedded[[TICK, OTHER], units[_UNITS : _UNITS + 2]] = step
        self.embedding = nn.Embedding(vocabulary, width)
        self.rnn = nn.RNN(width, width, nonlinearity="relu", batch_first=True)
        self.decode, self.nearest = nn.Linear(width, 1, bias=False), nn.Linear(1, ANSWERS)
        counts = np.arange(ANSWERS)[:, None]
        weights: dict[Any, np.ndarray] = {
            self.embedding.weight: embedded,
            self.rnn.weight_ih_l0: np.eye(width),
            self.rnn.weight_hh_l0: self.direction @ self.direction.T,
            self.rnn.bias_ih_l0: np.zeros(width),
            self.rnn.bias_hh_l0: np.zeros(width),
            self.decode.weight: self.direction.T / step,
            self.nearest.weight: 2.0 * counts,
            self.nearest.bias: -(counts[:, 0] ** 2.0),
        }
        with torch.no_grad():
            for weight, values in weights.items():
                weight.copy_(torch.from_numpy(values))
        self.eval()

    @override
    def forward(self, ids: Int[Tensor, "trials time"]) -> Float[Tensor, "trials time vocabulary"]:
        """Return the logits."""
        count = self.decode(self.rnn(self.embedding(ids))[0])
        near = self.nearest(count) - count.square()
        none = torch.full_like(count, -(_TOLERANCE**2))
        logits: Tensor = _STEEPNESS * torch.cat([near, none, (none - 1).expand(*none.shape[:-1], 2)], dim=-1)
        return logits


def _counter_rows(sites: list[Site], seed: int) -> Counterfactuals:
    """Return rows of random tokens. After the swap the target counts on from the source's count."""
    rows, rng = _TRAIN + _VALIDATION + _TEST, numpy_stream(seed, "counter rows")
    source, target = np.where(rng.random((2, rows, LENGTH)) < 0.5, TICK, OTHER)
    at = rng.integers(0, LENGTH, (2, rows, 1))
    before = np.take_along_axis((source == TICK).cumsum(1), at[0], axis=1)[:, 0]
    counts = (target == TICK).cumsum(1)
    own = counts[:, -1]
    return Counterfactuals.from_arrays(
        sites,
        source_inputs=source,
        target_inputs=target,
        source_positions=at[0, :, 0],
        target_positions=at[1, :, 0],
        labels=(before + own - np.take_along_axis(counts, at[1], axis=1)[:, 0]).tolist(),
        no_swap_labels=own.tolist(),
        values=before.tolist(),
        variable=COUNT,
        split=_split(source, target, at),
        seed=seed,
    )


def _split(source: np.ndarray, target: np.ndarray, at: np.ndarray) -> list[str]:
    """Return the split of each row. A row that occurs again is in the split of the first."""
    names = ["train"] * _TRAIN + ["validation"] * _VALIDATION + ["test"] * _TEST
    whole = np.concatenate([source, target, at[0], at[1]], axis=1)
    _, first, of_row = np.unique(whole, axis=0, return_index=True, return_inverse=True)
    return [names[int(row)] for row in first[of_row.reshape(-1)]]


def _counters(seed: int) -> Case:
    counters = [Counter(12, 1.0, seed), Counter(20, 0.5, seed + 1)]
    sites = [Site(each, "rnn", name=f"counter-{index}") for index, each in enumerate(counters)]
    frames = tuple({COUNT: each.direction} for each in counters)
    return Case(_counter_rows(sites, seed), {"method": "mas", "rank": 1}, frames)


COUNTER = Problem(
    "counter",
    "Two recurrent networks count along one direction each, of different width and step. That direction carries the "
    "count, and the target counts on from what it is set to.",
    interchangeable=True,
    draw=_counters,
)
"""The problem."""
