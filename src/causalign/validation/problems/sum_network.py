"""A small network that is trained to add two values, and the same network in another basis of its state."""

from copy import deepcopy

import torch
from jaxtyping import Float
from torch import Tensor, nn
from typing_extensions import override

from causalign.counterfactuals.dataset import Counterfactuals
from causalign.random_streams import numpy_stream, torch_stream
from causalign.validation.problems.coded_rows import ROWS, coded_site
from causalign.validation.problems.pair_reader import PairReader

_HIDDEN, _STEPS, _BATCH, _RATE = 64, 400, 256, 3e-3


class SumNetwork(PairReader):
    """Logits of (a + b) modulo the number of values, `[rows, values]`.

    Args:
        values: The number of values of each variable.
        nuisance: The number of units of noise.
        width: The width of the state.
    """

    def __init__(self, values: int, nuisance: int, width: int) -> None:
        super().__init__(values, nuisance)
        self.before = nn.Sequential(nn.Linear(2 * values + nuisance, _HIDDEN), nn.ReLU())
        self.state = nn.Linear(_HIDDEN, width)
        self.after = nn.Sequential(nn.ReLU(), nn.Linear(width, _HIDDEN), nn.ReLU(), nn.Linear(_HIDDEN, values))
        self.basis = nn.Linear(width, width, bias=False)
        with torch.no_grad():
            self.basis.weight.copy_(torch.eye(width))

    @override
    def forward(self, inputs: Float[Tensor, "rows inputs"]) -> Float[Tensor, "rows values"]:
        """Return the logits."""
        logits: Tensor = self.after(self.basis(self.state(self.before(inputs))))
        return logits

    def turned(self, rotation: Float[Tensor, "width width"], scale: float) -> "SumNetwork":
        """Return the same function with its state turned and scaled: R (c h) in place of h."""
        turned = deepcopy(self)
        with torch.no_grad():
            turned.state.weight.copy_(scale * rotation @ self.state.weight)
            turned.state.bias.copy_(scale * rotation @ self.state.bias)
            turned.basis.weight.copy_(rotation.mT / scale)
        return turned


def trained_sum_network(values: int, nuisance: int, width: int, seed: int) -> SumNetwork:
    """Return a network that was trained by 400 steps of Adam."""
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.manual_seed(torch_stream(seed, "sum network").initial_seed())
        network, rng = SumNetwork(values, nuisance, width), numpy_stream(seed, "sums")
        network.basis.requires_grad_(False)
        optimizer = torch.optim.Adam([each for each in network.parameters() if each.requires_grad], lr=_RATE)
        for _ in range(_STEPS):
            a, b = rng.integers(0, values, (2, _BATCH))
            logits = network(torch.from_numpy(network.inputs(a, b, rng)))
            loss = nn.functional.cross_entropy(logits, torch.from_numpy((a + b) % values))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return network.requires_grad_(False).eval()


def sum_rows(networks: tuple[SumNetwork, SumNetwork], seed: int, rows: tuple[int, int, int] = ROWS) -> Counterfactuals:
    """Return rows in which the sum is swapped, so that the target answers with the sum of the source's input.

    Args:
        networks: Networks of the same values and as many units of noise.
        seed: The seed of the rows.
        rows: The number of training, validation and test rows.
    """
    first, rng, count = networks[0], numpy_stream(seed, "sum rows"), sum(rows)
    source_a, source_b, target_a, target_b = rng.integers(0, first.values, (4, count))
    sums = ((source_a + source_b) % first.values).tolist()
    return Counterfactuals.from_arrays(
        [coded_site(network, f"sum-{index}") for index, network in enumerate(networks)],
        source_inputs=first.inputs(source_a, source_b, rng),
        target_inputs=first.inputs(target_a, target_b, rng),
        labels=sums,
        no_swap_labels=((target_a + target_b) % first.values).tolist(),
        values=sums,
        split=["train"] * rows[0] + ["validation"] * rows[1] + ["test"] * rows[2],
        seed=seed,
    )
