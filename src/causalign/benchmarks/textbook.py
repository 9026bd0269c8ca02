"""Model Alignment Search in plain PyTorch, written directly from the paper: the reference for the library's speed.

Nothing is slowed down, and nothing is kept from one step to the next. Every step runs both networks over whole
sequences from their first token. The target is run token by token, with a hook that swaps its state at the position of
the swap.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrizations, parametrize, skip_init
from typing_extensions import override

from causalign.errors import InvalidArgument
from causalign.networks.base import Network
from causalign.networks.gru import GRU
from causalign.random_streams import numpy_stream, torch_stream
from causalign.tasks.base import Task
from causalign.tasks.causal_model import counterfactual
from causalign.tasks.variable import FULL


@dataclass(frozen=True)
class Swaps:
    """Rows of one direction: source inputs, target inputs, and the expected outputs after the swap."""

    sources: Int[Tensor, "trials source_time"]
    """The tokens of each source; 0 is the pad."""
    source_positions: Int[Tensor, " trials"]
    """The position of the state that each source gives."""
    tokens: Int[Tensor, "trials time"]
    """The tokens of each target up to the swap, followed by its expected output; 0 is the pad."""
    positions: Int[Tensor, " trials"]
    """The position of the swap in each target."""
    determined: Bool[Tensor, "trials time"]
    """Whether a token counts for the IIA: one of the expected output that follows from the tokens before it."""

    @classmethod
    def draw(cls, task: Task, count: int, rng: np.random.Generator) -> "Swaps":
        """Draw `count` rows that swap all variables of a task, at positions drawn from all swappable ones."""
        sources, targets = task.trials(count, rng), task.trials(count, rng)
        row = np.arange(count)
        s, t = (
            np.where(task.swappable(trials.tokens), rng.random(trials.tokens.shape), -1).argmax(1)
            for trials in (sources, targets)
        )
        source_values = {name: sources.values[name][row, s] for name in task.variables}
        target_values = {name: targets.values[name][row, t] for name in task.variables}
        values = counterfactual(
            task, FULL, source_values, target=task, target_variable=FULL, target_values=target_values
        )
        continuation = task.continue_from(values, rng)
        prefix, rest = targets.tokens.shape[1], continuation.tokens.shape[1]
        tokens = np.zeros((count, prefix + rest), dtype=np.int64)
        tokens[:, :prefix] = np.where(np.arange(prefix) <= t[:, None], targets.tokens, 0)
        determined = np.zeros(tokens.shape, dtype=bool)
        after = (row[:, None], t[:, None] + 1 + np.arange(rest))
        tokens[after], determined[after] = continuation.tokens, continuation.determined
        return cls(*(torch.from_numpy(array) for array in (sources.tokens, s, tokens, t, determined)))

    def __len__(self) -> int:
        return len(self.tokens)

    def __getitem__(self, trials: Int[Tensor, " chosen"]) -> "Swaps":
        """Return some of the rows, without columns that hold only pads."""
        sources, tokens = self.sources[trials], self.tokens[trials]
        source_time, time = int(sources.count_nonzero(1).max()), int(tokens.count_nonzero(1).max())
        positions, determined = self.positions[trials], self.determined[trials, :time]
        return Swaps(sources[:, :source_time], self.source_positions[trials], tokens[:, :time], positions, determined)


class ScaledRotation(nn.Module):
    """The alignment map `W = a Q` of equation 3.

    Q is the exponential of a skew-symmetric matrix, turned by a random orthogonal one. The scale a is positive.

    Args:
        width: Width of the states.
        generator: The generator of the random start.
    """

    def __init__(self, width: int, generator: torch.Generator) -> None:
        super().__init__()
        self.rotation: nn.Linear = skip_init(nn.Linear, width, width, bias=False)
        nn.init.orthogonal_(self.rotation.weight, generator=generator)
        parametrizations.orthogonal(self.rotation, orthogonal_map="matrix_exp")
        self.log_scale = nn.Parameter(torch.zeros(()))

    @override
    def forward(self, states: Float[Tensor, "trials width"]) -> Float[Tensor, "trials width"]:
        """Return the aligned states W h."""
        return self.log_scale.exp() * self.rotation(states)

    def inverse(self, aligned: Float[Tensor, "trials width"]) -> Float[Tensor, "trials width"]:
        """Return the states W^-1 z."""
        return aligned @ self.rotation.weight / self.log_scale.exp()


class Textbook:
    """A search for the maps of equation 6 between GRUs of one task.

    All directions are trained by Adam, from a random start.

    Args:
        networks: The GRUs.
        rank: Number of dimensions of the aligned subspace.
        train: Number of training rows of each direction.
        validation: Number of validation rows of each direction, and of test rows.
        seed: The seed of all random draws.
        batch: Rows of each direction in a step.
        learning_rate: Learning rate of Adam.

    Raises:
        InvalidArgument: A network is not a GRU, the tasks differ, or the rank is not from 1 to the smallest width.
    """

    def __init__(
        self,
        networks: Sequence[Network],
        rank: int,
        *,
        train: int = 10_000,
        validation: int = 1000,
        seed: int = 0,
        batch: int = 128,
        learning_rate: float = 1e-3,
    ) -> None:
        self.networks = [network for network in networks if isinstance(network, GRU)]
        if len(self.networks) < len(networks) or len({network.task.name for network in networks}) != 1:
            raise InvalidArgument("the textbook search takes GRUs of one task")
        if not 1 <= rank <= min(network.width for network in networks):
            raise InvalidArgument(f"rank must be from 1 to the smallest width, found {rank}")
        self.rank, self.batch = rank, batch
        self.directions = list(product(range(len(networks)), repeat=2))
        self.interventions_per_step = batch * len(self.directions)
        task = networks[0].task
        counts = {"train": train, "validation": validation, "test": validation}
        self.swaps = {
            split: [Swaps.draw(task, count, numpy_stream(seed, "textbook", split, s, t)) for s, t in self.directions]
            for split, count in counts.items()
        }
        start = torch_stream(seed, "textbook", "start")
        self.maps = [ScaledRotation(network.width, start) for network in networks]
        self.optimizer = torch.optim.Adam(nn.ModuleList(self.maps).parameters(), lr=learning_rate)
        self._batches = torch_stream(seed, "textbook", "batches")

    def step(self) -> float:
        """Draw a batch of every direction, take a gradient step, and return the loss of equation 6 before it."""
        batches = [
            swaps[torch.randint(len(swaps), (self.batch,), generator=self._batches)] for swaps in self.swaps["train"]
        ]
        loss = self.loss(batches)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return float(loss.detach())

    def loss(self, batches: list[Swaps]) -> Float[Tensor, ""]:
        """Return the loss of equations 5 and 6.

        It is the cross-entropy of the tokens after the swap, summed over tokens and averaged over rows and directions.
        """
        total = torch.zeros(())
        with parametrize.cached():  # one matrix exponential per step, not per direction
            for (s, t), swaps in zip(self.directions, batches, strict=True):
                logits = self.logits(s, t, swaps)[:, :-1].flatten(0, 1)
                after = torch.arange(swaps.tokens.shape[1]) > swaps.positions[:, None]
                wanted = swaps.tokens.where(after, 0)[:, 1:].flatten()
                total += functional.cross_entropy(logits, wanted, ignore_index=0, reduction="sum") / len(swaps)
        return total / len(batches)

    @torch.no_grad()
    def worst_iia(self, split: Literal["validation", "test"] = "validation") -> float:
        """Return the IIA of the worst direction: the share of rows whose determined tokens are all predicted."""
        shares = []
        for (s, t), swaps in zip(self.directions, self.swaps[split], strict=True):
            right = self.logits(s, t, swaps)[:, :-1].argmax(-1) == swaps.tokens[:, 1:]
            shares.append(float((right | ~swaps.determined[:, 1:]).all(1).float().mean()))
        return min(shares)

    def logits(self, source: int, target: int, swaps: Swaps) -> Float[Tensor, "trials time vocabulary"]:
        """Return the target's logits after every token, with the interchange of equation 4 in its hidden state."""
        network = self.networks[source]
        with torch.no_grad():
            states, _ = network.cell(network.embedding(swaps.sources))
        source_aligned = self.maps[source](states[torch.arange(len(swaps)), swaps.source_positions])
        target_map = self.maps[target]

        def swap(position: int, hidden: Tensor) -> Tensor:
            here = swaps.positions == position
            if not here.any():
                return hidden
            mixed = torch.cat([source_aligned[here, : self.rank], target_map(hidden[here])[:, self.rank :]], dim=1)
            return hidden.index_put((here,), target_map.inverse(mixed))

        return run(self.networks[target], swaps.tokens, swap)


def run(
    network: GRU, tokens: Int[Tensor, "trials time"], hook: Callable[[int, Tensor], Tensor]
) -> Float[Tensor, "trials time vocabulary"]:
    """Return the logits of a network after every token.

    Args:
        network: The network.
        tokens: The tokens of each trial.
        hook: A function of each position and its hidden states `[trials, width]`. The states that it returns replace
            them.
    """
    hidden, states = torch.zeros(1, len(tokens), network.width), []
    for position in range(tokens.shape[1]):
        _, hidden = network.cell(network.embedding(tokens[:, position : position + 1]), hidden)
        hidden = hook(position, hidden[0])[None]
        states.append(hidden[0])
    logits: Tensor = network.readout(torch.stack(states, dim=1))
    return logits
