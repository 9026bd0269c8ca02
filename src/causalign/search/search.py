"""The search: gradient descent on the maps until they stop improving on validation interventions.

Everything upstream of the swap is frozen and was computed once; a step gathers recorded states, swaps them, and runs
the continuations of each target as one batch.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from causalign.callbacks import Callback, ProgressUpdate, silent
from causalign.counterfactuals.direction import Direction
from causalign.maps.base import AlignmentMap, TrainableMap
from causalign.search.config import SearchConfig
from causalign.search.direction_sampling import sample_directions
from causalign.search.early_stopping import EarlyStopping, Evaluation
from causalign.search.objectives import Objective
from causalign.search.optimizers import Optimizers
from causalign.search.problem import Problem
from causalign.storage import forget_mapped_pages, release_freed_memory

_MEMORY = 0.9  # of the running average of the parameters: about the last ten steps

StopReason = Literal["settled", "enough", "steps", "interrupted", "diverged", "closed-form", "outdone"]


@dataclass(frozen=True)
class SearchResult:
    """The best maps on validation, and how the search came to them."""

    maps: tuple[AlignmentMap, ...]
    best: Evaluation
    history: tuple[Evaluation, ...]
    steps: int
    """Steps taken until the search stopped; the maps are from the best look."""
    stopped: StopReason


class Search:
    """The maps in training. It goes on for so many steps, and can go on again from there.

    What is looked at and kept is a running average of the last steps' parameters: a constant learning rate leaves the
    maps jittering about where they would settle. The first steps are of small batches, which go as far in a fraction of
    the time; where they get no further, larger ones do.
    """

    def __init__(
        self, problem: Problem, maps: Sequence[TrainableMap], settings: SearchConfig, rng: np.random.Generator
    ) -> None:
        self._problem, self._maps, self._settings, self._rng = problem, maps, settings, rng
        self._learnt = problem.at(settings.precision)
        self._optimisers = Optimizers(maps, settings.optimizer, settings.learning_rate)
        self._averaged = [AveragedModel(each, multi_avg_fn=get_ema_multi_avg_fn(_MEMORY)) for each in maps]
        self._looks = EarlyStopping(problem, self._averaged, settings)
        self._step, self._batch = 0, settings.first_batch
        self._stopped: StopReason | None = None

    def go_on(self, until: int, listener: Callback = silent) -> SearchResult:
        """The best maps once it has ended, or has taken so many steps in all.

        Ctrl-C ends it as running out of steps does: with the best so far.
        """
        until, looks = min(until, self._settings.most_steps), self._looks
        try:
            if not looks.history:
                looks.look(0, None)
                self._stopped = "enough" if looks.reached else None
            while self._stopped is None and self._step < until:
                loss = self._take_a_step()
                listener(ProgressUpdate("search", self._step, until, {"loss": loss, **looks.best.figures}))
        except KeyboardInterrupt:
            self._stopped = "interrupted"
        listener(ProgressUpdate("search", self._step, self._step, looks.best.figures))
        return SearchResult(looks.maps, looks.best, tuple(looks.history), self._step, self._stopped or "steps")

    def _take_a_step(self) -> float:
        """Take it, and look where it leads if a look is due; its loss."""
        settings, looks = self._settings, self._looks
        self._step += 1
        loss = _learn(self._learnt, self._maps, self._batch, settings.passes, self._optimisers, self._rng)
        for average, each in zip(self._averaged, self._maps, strict=True):
            average.update_parameters(each)
        forget_mapped_pages()
        if not np.isfinite(loss):
            self._stopped = "diverged"
        elif self._step == looks.due:
            looks.look(self._step, loss)
            release_freed_memory()
            self._end_or_grow()
        return loss

    def _end_or_grow(self) -> None:
        """End if there is no more to be had, or take larger batches if there is no more to be had from small ones."""
        settings, looks = self._settings, self._looks
        if looks.reached:
            self._stopped = "enough"
        elif looks.perfect:
            self._stopped = "settled"
        elif looks.settled and self._batch != settings.batch:
            self._batch, looks.since = settings.batch, self._step
        elif looks.settled and not settings.to_the_end:
            self._stopped = "settled"


def search(
    problem: Problem,
    maps: Sequence[TrainableMap],
    settings: SearchConfig,
    rng: np.random.Generator,
    listener: Callback = silent,
) -> SearchResult:
    """Train the maps and keep those of the best look at the validation interventions."""
    return Search(problem, maps, settings, rng).go_on(settings.most_steps, listener)


@torch.enable_grad()
def _learn(
    problem: Problem,
    maps: Sequence[TrainableMap],
    batch: int,
    passes: int,
    optimisers: Optimizers,
    rng: np.random.Generator,
) -> float:
    """One step down the loss; what it was.

    Each objective is a mean over its directions, and the loss their weighted sum (equations 6, 7 and 9).
    """
    current = [trainable() for trainable in maps]
    chosen = sample_directions(list(problem.train), len(problem.sites), passes, rng)
    loss: Float[Tensor, ""] = torch.stack(
        [
            objective.weight / len(directions) * _loss(problem, objective, into, current, batch, rng)
            for objective, directions in problem.by_objective({d: problem.train[d] for d in chosen})
            for into in _by_target(directions)
        ]
    ).sum()
    optimisers.step(loss)
    return float(loss.detach())


def _by_target(directions: Sequence[Direction]) -> list[list[Direction]]:
    """The directions into each target: they run as one batch."""
    return [list(into) for _, into in groupby(sorted(directions, key=lambda d: d.target), key=lambda d: d.target)]


def _loss(
    problem: Problem,
    objective: Objective,
    into: Sequence[Direction],
    maps: Sequence[AlignmentMap],
    batch: int,
    rng: np.random.Generator,
) -> Float[Tensor, ""]:
    """The loss of a random batch of each direction into one target, summed over them."""
    batches = []
    for direction in into:
        given = problem.train[direction]
        batches.append(given.take(torch.from_numpy(rng.integers(len(given), size=batch))))
    return objective.loss(problem.sites[into[0].target], batches, problem.swapped(into, batches, maps))
