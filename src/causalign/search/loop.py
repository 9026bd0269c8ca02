"""The search: gradient descent on the maps until the worst direction stops improving.

Everything upstream of the swap is frozen and was computed once; a step gathers cached states, swaps them, and runs
the continuations of each target as one batch.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from causalign._progress import Listener, Update, silent
from causalign.errors import CausalignError
from causalign.evaluation import correct_trials, worst
from causalign.interchange import Direction, Interventions, Swap
from causalign.maps import AlignmentMap, TrainableMap
from causalign.search.objective import Objective
from causalign.sites import Site


@dataclass(frozen=True)
class Settings:
    """How a search runs."""

    batch: int = 512
    """Interventions of each direction in a step."""
    learning_rate: float | None = None
    """Of Adam; by default, what suits the parametrisation of each map."""
    most_steps: int = 1000
    check_every: int = 10
    """Steps between looks at the validation interventions."""
    patience: int = 5
    """So many looks in a row end the search if the worst direction (on a tie, the mean of all) gets no better."""

    def __post_init__(self) -> None:
        for name in ("batch", "check_every", "patience"):
            if getattr(self, name) < 1:
                raise CausalignError(f"{name} must be at least 1, found {getattr(self, name)}")
        if self.most_steps < 0:
            raise CausalignError(f"most_steps must not be negative, found {self.most_steps}")
        if self.learning_rate is not None and not self.learning_rate > 0:
            raise CausalignError(f"learning_rate must be positive, found {self.learning_rate}")


@dataclass(frozen=True)
class Problem:
    """What is searched: maps of these sites under which swapping minimises the objectives."""

    sites: Sequence[Site]
    swap: Swap
    objectives: Sequence[Objective]
    """One for each site as a target."""
    train: Mapping[Direction, Interventions]
    validation: Mapping[Direction, Interventions]


@dataclass(frozen=True)
class Look:
    """What one look at the validation interventions showed."""

    step: int
    loss: float | None
    """The loss of that step's batch, a mean over directions (equation 6); none before the first step."""
    worst_iia: float
    mean_iia: float


Stopped = Literal["settled", "steps", "interrupted", "diverged"]


@dataclass(frozen=True)
class Found:
    """The best maps on validation, and how the search came to them."""

    maps: tuple[AlignmentMap, ...]
    history: tuple[Look, ...]
    steps: int
    """Steps taken until the search stopped; the maps are from the best look."""
    stopped: Stopped


def search(
    problem: Problem,
    maps: Sequence[TrainableMap],
    settings: Settings,
    rng: np.random.Generator,
    listener: Listener = silent,
) -> Found:
    """Train the maps with Adam and keep those of the best look at the validation interventions.

    Ctrl-C ends the search as running out of steps does: with the best so far.
    """
    optimiser = torch.optim.Adam(
        [{"params": [*m.parameters()], "lr": settings.learning_rate or m.learning_rate} for m in maps]
    )
    record = _Record(problem, maps)
    step = 0
    stopped: Stopped | None = None
    try:
        record.look(0, None)
        while stopped is None and step < settings.most_steps:
            step += 1
            loss = _learn(problem, maps, settings.batch, optimiser, rng)
            if not np.isfinite(loss):
                stopped = "diverged"
            elif step % settings.check_every == 0 or step == settings.most_steps:
                record.look(step, loss)
                stopped = "settled" if record.idle >= settings.patience or record.perfect else None
            figures = {"loss": loss, "worst IIA": record.best.worst_iia}
            listener(Update("search", step, settings.most_steps, figures))
    except KeyboardInterrupt:
        stopped = "interrupted"
    listener(Update("search", step, step, {"worst IIA": record.best.worst_iia}))
    return Found(record.maps, tuple(record.history), step, stopped or "steps")


@torch.enable_grad()
def _learn(
    problem: Problem,
    maps: Sequence[TrainableMap],
    batch: int,
    optimiser: torch.optim.Optimizer,
    rng: np.random.Generator,
) -> float:
    """One step down the mean loss over all directions; what it was."""
    current = [trainable() for trainable in maps]
    losses = [
        problem.objectives[target](problem.sites[target], *_swapped(problem, list(into), current, batch, rng))
        for target, into in groupby(sorted(problem.train, key=lambda d: d.target), key=lambda d: d.target)
    ]
    loss: Float[Tensor, ""] = torch.stack(losses).sum() / len(problem.train)
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    return float(loss.detach())


def _swapped(
    problem: Problem,
    directions: Sequence[Direction],
    maps: Sequence[AlignmentMap],
    batch: int,
    rng: np.random.Generator,
) -> tuple[list[Interventions], list[Float[Tensor, "trials width"]]]:
    """A batch of interventions for each of the directions into one target, and their swapped states."""
    batches = []
    for direction in directions:
        given = problem.train[direction]
        batches.append(given.take(torch.from_numpy(rng.integers(len(given), size=batch)).to(given.lengths.device)))
    swapped = [
        problem.swap(chosen.target_states, chosen.source_states, maps[target], maps[source])
        for chosen, (source, target) in zip(batches, directions, strict=True)
    ]
    return batches, swapped


class _Record:
    """The looks so far, and the maps of the best one."""

    def __init__(self, problem: Problem, maps: Sequence[TrainableMap]) -> None:
        self._problem, self._trained = problem, maps
        self.history: list[Look] = []
        self.idle = 0
        """Looks since the best one."""
        self.maps = self._now()
        self.best = Look(0, None, 0.0, 0.0)

    def _now(self) -> tuple[AlignmentMap, ...]:
        with torch.no_grad():
            return tuple(trainable().frozen() for trainable in self._trained)

    def look(self, step: int, loss: float | None) -> None:
        """Score the maps as they are on validation; on a tie in the worst direction the mean decides."""
        maps = self._now()
        correct = correct_trials(self._problem.sites, maps, self._problem.swap, self._problem.validation)
        mean = float(torch.stack([trials.double().mean() for trials in correct.values()]).mean())
        look = Look(step, loss, worst(correct), mean)
        better = (look.worst_iia, look.mean_iia) > (self.best.worst_iia, self.best.mean_iia)
        self.idle = 0 if better or not self.history else self.idle + 1
        if self.idle == 0:
            self.best, self.maps = look, maps
        self.history.append(look)

    @property
    def perfect(self) -> bool:
        """Whether nothing is left to improve."""
        return self.best.worst_iia == 1
