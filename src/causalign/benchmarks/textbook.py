"""Model Alignment Search as one writes it from the paper in plain PyTorch: what the library is timed against.

Nothing is slowed down, but nothing is kept from one step to the next either: every step runs both networks over whole
sequences from their first token, the target token by token, with a hook that swaps its state where it is time to.
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
    """Interventions of one direction: the sources, and what the targets should do after the swap."""

    sources: Int[Tensor, "trials source_time"]
    source_positions: Int[Tensor, " trials"]
    tokens: Int[Tensor, "trials time"]
    """Each target's tokens up to the swap, and from there on its counterfactual continuation; 0 pads."""
    positions: Int[Tensor, " trials"]
    determined: Bool[Tensor, "trials time"]
    """Which tokens count for the IIA: those of the continuation that follow from the tokens before them."""

    @classmethod
    def draw(cls, task: Task, count: int, rng: np.random.Generator) -> "Swaps":
        """`count` interventions on all variables of the task, at positions drawn from all that may be swapped."""
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
        """Some of them, without the columns that hold nothing but pads."""
        sources, tokens = self.sources[trials], self.tokens[trials]
        source_time, time = int(sources.count_nonzero(1).max()), int(tokens.count_nonzero(1).max())
        positions, determined = self.positions[trials], self.determined[trials, :time]
        return Swaps(sources[:, :source_time], self.source_positions[trials], tokens[:, :time], positions, determined)


class ScaledRotation(nn.Module):
    """The alignment map `W = a Q` of equation 3: Q the exponential of a skew-symmetric matrix, turned at random."""

    def __init__(self, width: int, generator: torch.Generator) -> None:
        super().__init__()
        self.rotation: nn.Linear = skip_init(nn.Linear, width, width, bias=False)
        nn.init.orthogonal_(self.rotation.weight, generator=generator)
        parametrizations.orthogonal(self.rotation, orthogonal_map="matrix_exp")
        self.log_scale = nn.Parameter(torch.zeros(()))

    @override
    def forward(self, states: Float[Tensor, "trials width"]) -> Float[Tensor, "trials width"]:
        """W h."""
        return self.log_scale.exp() * self.rotation(states)

    def inverse(self, aligned: Float[Tensor, "trials width"]) -> Float[Tensor, "trials width"]:
        """W^-1 z."""
        return aligned @ self.rotation.weight / self.log_scale.exp()


class Textbook:
    """A search for the maps of equation 6 between GRUs of one task: Adam on all directions, from a random start."""

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
            raise InvalidArgument("the textbook search is for GRUs of one task")
        if not 1 <= rank <= min(network.width for network in networks):
            raise InvalidArgument(f"rank must be from 1 to the least width, found {rank}")
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
        """Draw a batch of every direction, descend, and give the loss of equation 6 before the descent."""
        batches = [
            swaps[torch.randint(len(swaps), (self.batch,), generator=self._batches)] for swaps in self.swaps["train"]
        ]
        loss = self.loss(batches)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return float(loss.detach())

    def loss(self, batches: list[Swaps]) -> Float[Tensor, ""]:
        """Equations 5 and 6: what the tokens after the swap cost, per intervention; the mean over all directions."""
        total = torch.zeros(())
        with parametrize.cached():  # a matrix exponential a step, not one a direction
            for (s, t), swaps in zip(self.directions, batches, strict=True):
                logits = self.logits(s, t, swaps)[:, :-1].flatten(0, 1)
                after = torch.arange(swaps.tokens.shape[1]) > swaps.positions[:, None]
                wanted = swaps.tokens.where(after, 0)[:, 1:].flatten()
                total += functional.cross_entropy(logits, wanted, ignore_index=0, reduction="sum") / len(swaps)
        return total / len(batches)

    @torch.no_grad()
    def worst_iia(self, split: Literal["validation", "test"] = "validation") -> float:
        """The IIA of the worst direction: the share of trials whose determined tokens are all predicted."""
        shares = []
        for (s, t), swaps in zip(self.directions, self.swaps[split], strict=True):
            right = self.logits(s, t, swaps)[:, :-1].argmax(-1) == swaps.tokens[:, 1:]
            shares.append(float((right | ~swaps.determined[:, 1:]).all(1).float().mean()))
        return min(shares)

    def logits(self, source: int, target: int, swaps: Swaps) -> Float[Tensor, "trials time vocabulary"]:
        """The target's logits after every token, with the interchange of equation 4 made in its hidden state."""
        network = self.networks[source]
        with torch.no_grad():
            states, _ = network.cell(network.embedding(swaps.sources))
        given = self.maps[source](states[torch.arange(len(swaps)), swaps.source_positions])
        target_map = self.maps[target]

        def swap(position: int, hidden: Tensor) -> Tensor:
            here = swaps.positions == position
            if not here.any():
                return hidden
            mixed = torch.cat([given[here, : self.rank], target_map(hidden[here])[:, self.rank :]], dim=1)
            return hidden.index_put((here,), target_map.inverse(mixed))

        return run(self.networks[target], swaps.tokens, swap)


def run(
    network: GRU, tokens: Int[Tensor, "trials time"], hook: Callable[[int, Tensor], Tensor]
) -> Float[Tensor, "trials time vocabulary"]:
    """The logits after every token; the hook may change the hidden states `[trials, width]` at every position."""
    hidden, states = torch.zeros(1, len(tokens), network.width), []
    for position in range(tokens.shape[1]):
        _, hidden = network.cell(network.embedding(tokens[:, position : position + 1]), hidden)
        hidden = hook(position, hidden[0])[None]
        states.append(hidden[0])
    logits: Tensor = network.readout(torch.stack(states, dim=1))
    return logits
