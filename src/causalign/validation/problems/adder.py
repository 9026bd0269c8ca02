"""A ripple-carry adder in a GRU cell, with weights set by hand. The carry is a coordinate along a known direction.

The network reads B and then pairs of bits (x, y), the least significant first, and answers every pair with the sum bit.
With bits as -1 and +1 and the carry c of the pair before, the units are steps of x + y + c, which is -3, -1, 1 or 3:

    at least one: x + y + c > -2        at least two: x + y + c > 0        all: x + y + c > 2

"At least two" is the new carry, which several units hold, and all that the next step reads of the state. The sum bit is
"at least one" - "at least two" + "all". The gates of the cell are saturated: nothing is kept but the carry.
"""

from dataclasses import dataclass
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

BITS = 4
NONE, BEGIN, PAIRS = 2, 3, 4
"""The ids behind the two bits: none, B, and the first of the four pairs, `4 + 2 x + y`."""
CARRY = "carry"
_GAIN, _HARD, _STEEPNESS, _TOLERANCE = 2.0, 20.0, 8.0, 0.2
_THRESHOLDS = (-2.0, 2.0)
_TRAIN, _VALIDATION, _TEST = 1000, 300, 600


class Adder(nn.Module):
    """Logits of the sum bit after every pair, for ids `[trials, time]`: 0, 1, none, and the ids that are read.

    It answers with `NONE` where its three steps are near those of no number of ones.

    Args:
        width: The number of units, some of which are dead.
        copies: The number of units that hold the carry, each with a random sign.
        seed: The seed of the arrangement of the units, and of the signs.

    Attributes:
        direction: The direction of the carry, `[width, 1]`.
    """

    def __init__(self, width: int, copies: int, seed: int) -> None:
        super().__init__()
        rng = numpy_stream(seed, "adder")
        carry, steps, _ = np.split(rng.permutation(width), [copies, copies + 2])
        signs = rng.choice([-1.0, 1.0], copies)
        self.direction = np.zeros((width, 1))
        self.direction[carry, 0] = signs / np.sqrt(copies)
        self.embedding = nn.Embedding(PAIRS + 4, 2)
        self.rnn = nn.GRU(2, width, batch_first=True)
        self.select, self.nearest = nn.Linear(width, 3, bias=False), nn.Linear(3, 4)
        pairs = [[x, y] for x in (-1, 1) for y in (-1, 1)]
        totals = 2.0 * np.tri(4, 3, -1) - 1  # at least one, at least two, all: of each number of ones
        units = np.eye(width)
        weights: dict[Any, np.ndarray] = {
            self.embedding.weight: np.array([*[[0, 0]] * BEGIN, [-2, -2], *pairs]),  # B sets the carry to 0
            **self._cell(carry, steps, signs),
            self.select.weight: np.stack([units[steps[0]], self.direction[:, 0] / np.sqrt(copies), units[steps[1]]]),
            self.nearest.weight: 2 * totals,
            self.nearest.bias: -(totals**2).sum(1),
        }
        with torch.no_grad():
            for weight, values in weights.items():
                weight.copy_(torch.from_numpy(values))
        self.eval()

    def _cell(
        self, carry: Int[np.ndarray, " copies"], steps: Int[np.ndarray, " 2"], signs: Float[np.ndarray, " copies"]
    ) -> dict[Any, np.ndarray]:
        """Return the weights of the cell, whose gates are reset, update and new."""
        width = len(self.direction)
        of_input, of_state, bias = np.zeros((3, width, 2)), np.zeros((3, width, width)), np.zeros((3, width))
        bias[0], bias[1] = _HARD, -_HARD  # the carry is always read, and no unit keeps its value
        units, their_signs = np.r_[carry, steps], np.r_[signs, np.ones(2)]
        of_input[2, units] = _GAIN * their_signs[:, None]
        of_state[2, units] = _GAIN * their_signs[:, None] * self.direction[:, 0] / np.sqrt(len(carry))
        bias[2, steps] = -_GAIN * np.array(_THRESHOLDS)
        return {
            self.rnn.weight_ih_l0: of_input.reshape(-1, 2),
            self.rnn.weight_hh_l0: of_state.reshape(-1, width),
            self.rnn.bias_ih_l0: bias.reshape(-1),
            self.rnn.bias_hh_l0: np.zeros(3 * width),
        }

    @override
    def forward(self, ids: Int[Tensor, "trials time"]) -> Float[Tensor, "trials time vocabulary"]:
        """Return the logits."""
        steps = self.select(self.rnn(self.embedding(ids))[0])
        near = self.nearest(steps) - steps.square().sum(-1, keepdim=True)
        bits = torch.stack([near[..., ::2].amax(-1), near[..., 1::2].amax(-1)], dim=-1)
        none = torch.full_like(bits[..., :1], -(_TOLERANCE**2))
        others = (none - 1).expand(*none.shape[:-1], PAIRS + 4 - BEGIN)
        logits: Tensor = _STEEPNESS / _TOLERANCE**2 * torch.cat([bits, none, others], dim=-1)
        return logits


@dataclass(frozen=True)
class Sums:
    """Sums of two numbers, pair by pair of bits.

    Attributes:
        ids: What the network reads: B, and `BITS + 1` pairs, the last of which is (0, 0).
        pairs: The number of ones in each pair.
        carries: The carry after each pair.
    """

    ids: Int[np.ndarray, "rows time"]
    pairs: Int[np.ndarray, "rows steps"]
    carries: Int[np.ndarray, "rows steps"]

    @classmethod
    def drawn(cls, rows: int, rng: np.random.Generator) -> "Sums":
        """Draw numbers of `BITS` bits."""
        bits = rng.integers(0, 2, (2, rows, BITS + 1))
        bits[:, :, -1] = 0
        carry, carries = np.zeros(rows, dtype=np.int64), []
        for x, y in zip(*np.moveaxis(bits, 2, 1), strict=True):
            carry = (x + y + carry) // 2
            carries.append(carry)
        ids = np.concatenate([np.full((rows, 1), BEGIN), PAIRS + 2 * bits[0] + bits[1]], axis=1)
        return cls(ids, bits.sum(0), np.stack(carries, axis=1))

    def answer(
        self,
        step: Int[np.ndarray, " rows"],
        carry: Int[np.ndarray, " rows"],
        query: Int[np.ndarray, " rows"],
    ) -> Int[np.ndarray, " rows"]:
        """Return the sum bit of pair `query`, with the carry after an earlier pair, `step`, set."""
        bit = np.zeros_like(carry)
        for ahead in range(1, BITS + 1):
            at = np.minimum(step + ahead, BITS)
            total = self.pairs[np.arange(len(step)), at] + carry
            bit = np.where(step + ahead <= query, total % 2, bit)
            carry = total // 2
        return bit


def _adder_rows(sites: list[Site], seed: int) -> Counterfactuals:
    """Return rows that set the carry after a pair, and ask for the sum bit of a later one."""
    rows, rng = _TRAIN + _VALIDATION + _TEST, numpy_stream(seed, "adder rows")
    source, target = Sums.drawn(rows, rng), Sums.drawn(rows, rng)
    of_source, of_target = rng.integers(0, BITS, (2, rows))
    query = rng.integers(of_target + 1, BITS + 1)
    carry, own = (sums.carries[np.arange(rows), step] for sums, step in ((source, of_source), (target, of_target)))
    inputs = [row[: last + 2].tolist() for row, last in zip(target.ids, query, strict=True)]
    keys = list(zip(map(tuple, source.ids.tolist()), map(tuple, inputs), of_source, of_target, strict=True))
    names = ["train"] * _TRAIN + ["validation"] * _VALIDATION + ["test"] * _TEST
    first: dict[object, str] = {}
    for key, name in zip(keys, names, strict=True):  # a row that occurs again is in the split of the first
        first.setdefault(key, name)
    return Counterfactuals.from_arrays(
        sites,
        source_inputs=source.ids,
        target_inputs=inputs,
        source_positions=of_source + 1,
        target_positions=of_target + 1,
        labels=target.answer(of_target, carry, query).tolist(),
        no_swap_labels=target.answer(of_target, own, query).tolist(),
        values=carry.tolist(),
        variable=CARRY,
        split=[first[key] for key in keys],
        seed=seed,
    )


def _case(adders: list[Adder], seed: int) -> Case:
    sites = [Site(each, "rnn", name=f"adder-{index}") for index, each in enumerate(adders)]
    method = "das" if len(adders) == 1 else "mas"
    frames = tuple({CARRY: each.direction} for each in adders)
    return Case(_adder_rows(sites, seed), {"method": method, "rank": 1}, frames)


def _one(seed: int) -> Case:
    return _case([Adder(16, 4, seed)], seed)


def _two(seed: int) -> Case:
    return _case([Adder(16, 4, seed), Adder(24, 6, seed + 1)], seed)


ADDERS = (
    Problem(
        "adder",
        "A GRU of 16 units adds two numbers bit by bit. Four of its units hold the carry, and their direction carries "
        "it to all later sum bits. The gates are saturated, so that directions near it do the same.",
        interchangeable=True,
        draw=_one,
    ),
    Problem(
        "adder-pair",
        "Two such adders, whose carries are in 4 of 16 and in 6 of 24 units, of other places and signs.",
        interchangeable=True,
        draw=_two,
    ),
)
"""The problems."""
