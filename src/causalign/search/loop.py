"""The search: gradient descent on the maps until they stop improving on validation interventions.

Everything upstream of the swap is frozen and was computed once; a step gathers recorded states, swaps them, and runs
the continuations of each target as one batch.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from causalign._progress import Listener, Update, silent
from causalign.evaluation import AT_ONCE, correct_trials, worst
from causalign.interchange import Batch, Direction, Interventions, Swap, forget_mapped_pages
from causalign.maps import AlignmentMap, TrainableMap
from causalign.search._memory import release_freed_memory
from causalign.search.objective import Objective
from causalign.search.optimisers import Optimisers
from causalign.search.sampling import sample_directions
from causalign.search.settings import PRECISIONS, Settings
from causalign.sites import Readable

_MEMORY = 0.9  # of the running average of the parameters: about the last ten steps
_CLEARLY = 1e-3  # so much of a loss must be gone for it to count as better


@dataclass(frozen=True)
class Problem:
    """What is searched: maps of these sites under which swapping minimises the objectives."""

    sites: Sequence[Readable]
    swap: Swap
    objectives: Mapping[Direction, Objective]
    """The trained directions, and what is minimised in each."""
    train: Mapping[Direction, Interventions]
    validation: Mapping[Direction, Interventions]

    def at(self, precision: str | None) -> "Problem":
        """The same with copies of the networks at another precision."""
        if precision is None:
            return self
        return replace(self, sites=[site.cast(PRECISIONS[precision]) for site in self.sites])

    def by_objective(self, of: Mapping[Direction, Interventions]) -> list[tuple[Objective, list[Direction]]]:
        """The directions of each objective, of those that are in `of`."""
        kinds = dict.fromkeys(self.objectives.values())
        grouped = [(kind, [d for d in of if self.objectives[d] == kind]) for kind in kinds]
        return [(kind, directions) for kind, directions in grouped if directions]


@dataclass(frozen=True)
class Look:
    """What one look at the validation interventions showed."""

    step: int
    loss: float | None
    """The loss of that step's batch, a mean over directions (equation 6, or 9); none before the first step."""
    worst_iia: float | None
    """Over the directions whose target may be run; none if there are none."""
    mean_iia: float | None
    validation_loss: float | None = None
    """Equation 9 on the validation interventions, where some targets may not be run: then it makes the choice."""

    @property
    def figures(self) -> dict[str, float]:
        """What there is to see of it."""
        if self.worst_iia is not None:
            return {"worst IIA": self.worst_iia}
        return {} if self.validation_loss is None else {"validation": self.validation_loss}

    def better_than(self, other: "Look") -> bool:
        """Whether these maps are to be kept instead: the best worst direction, on a tie the mean, or the least loss."""
        if self.validation_loss is not None and other.validation_loss is not None:
            return self.validation_loss < other.validation_loss * (1 - _CLEARLY)
        return (self.worst_iia or 0.0, self.mean_iia or 0.0) > (other.worst_iia or 0.0, other.mean_iia or 0.0)

    def gains(self, other: "Look", least: float) -> bool:
        """Whether a better look is better by so much IIA, or by that share of the loss."""
        if least == 0:
            return True
        if self.validation_loss is not None and other.validation_loss is not None:
            return self.validation_loss <= other.validation_loss * (1 - least)
        return (self.worst_iia or 0.0) >= (other.worst_iia or 0.0) + least


Stopped = Literal["settled", "enough", "steps", "interrupted", "diverged", "closed-form", "outdone"]


@dataclass(frozen=True)
class Found:
    """The best maps on validation, and how the search came to them."""

    maps: tuple[AlignmentMap, ...]
    best: Look
    history: tuple[Look, ...]
    steps: int
    """Steps taken until the search stopped; the maps are from the best look."""
    stopped: Stopped


class Search:
    """The maps in training. It goes on for so many steps, and can go on again from there.

    What is looked at and kept is a running average of the last steps' parameters: a constant learning rate leaves the
    maps jittering about where they would settle. The first steps are of small batches, which go as far in a fraction of
    the time; where they get no further, larger ones do.
    """

    def __init__(
        self, problem: Problem, maps: Sequence[TrainableMap], settings: Settings, rng: np.random.Generator
    ) -> None:
        self._problem, self._maps, self._settings, self._rng = problem, maps, settings, rng
        self._learnt = problem.at(settings.precision)
        self._optimisers = Optimisers(maps, settings.optimiser, settings.learning_rate)
        self._averaged = [AveragedModel(each, multi_avg_fn=get_ema_multi_avg_fn(_MEMORY)) for each in maps]
        self._record = _Record(problem, self._averaged, settings)
        self._step, self._batch = 0, settings.first_batch
        self._stopped: Stopped | None = None

    def go_on(self, until: int, listener: Listener = silent) -> Found:
        """The best maps once it has ended, or has taken so many steps in all.

        Ctrl-C ends it as running out of steps does: with the best so far.
        """
        until, record = min(until, self._settings.most_steps), self._record
        try:
            if not record.history:
                record.look(0, None)
                self._stopped = "enough" if record.reached else None
            while self._stopped is None and self._step < until:
                loss = self._take_a_step()
                listener(Update("search", self._step, until, {"loss": loss, **record.best.figures}))
        except KeyboardInterrupt:
            self._stopped = "interrupted"
        listener(Update("search", self._step, self._step, record.best.figures))
        return Found(record.maps, record.best, tuple(record.history), self._step, self._stopped or "steps")

    def _take_a_step(self) -> float:
        """Take it, and look where it leads if a look is due; its loss."""
        settings, record = self._settings, self._record
        self._step += 1
        loss = _learn(self._learnt, self._maps, self._batch, settings.passes, self._optimisers, self._rng)
        for average, each in zip(self._averaged, self._maps, strict=True):
            average.update_parameters(each)
        forget_mapped_pages()
        if not np.isfinite(loss):
            self._stopped = "diverged"
        elif self._step == record.due:
            record.look(self._step, loss)
            release_freed_memory()
            self._end_or_grow()
        return loss

    def _end_or_grow(self) -> None:
        """End if there is no more to be had, or take larger batches if there is no more to be had from small ones."""
        settings, record = self._settings, self._record
        if record.reached:
            self._stopped = "enough"
        elif record.perfect:
            self._stopped = "settled"
        elif record.settled and self._batch != settings.batch:
            self._batch, record.since = settings.batch, self._step
        elif record.settled and not settings.to_the_end:
            self._stopped = "settled"


def search(
    problem: Problem,
    maps: Sequence[TrainableMap],
    settings: Settings,
    rng: np.random.Generator,
    listener: Listener = silent,
) -> Found:
    """Train the maps and keep those of the best look at the validation interventions."""
    return Search(problem, maps, settings, rng).go_on(settings.most_steps, listener)


@torch.enable_grad()
def _learn(
    problem: Problem,
    maps: Sequence[TrainableMap],
    batch: int,
    passes: int,
    optimisers: Optimisers,
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
    return objective.loss(problem.sites[into[0].target], batches, _swapped(problem.swap, into, batches, maps))


def _swapped(
    swap: Swap, directions: Sequence[Direction], batches: Sequence[Batch], maps: Sequence[AlignmentMap]
) -> list[Float[Tensor, "trials ... width"]]:
    return [
        swap(batch.target_states, batch.source_states, maps[target], maps[source])
        for batch, (source, target) in zip(batches, directions, strict=True)
    ]


class _Record:
    """The looks so far, and the maps of the best one."""

    def __init__(self, problem: Problem, averaged: Sequence[AveragedModel], settings: Settings) -> None:
        self._problem, self._averaged, self._settings = problem, averaged, settings
        self.history: list[Look] = []
        self.since = 0
        """The step of the last look that was better by the least gain, or of what else gave the search a new chance."""
        self.maps = self._now()
        self.best = self._gained = Look(0, None, None, None)

    def _now(self) -> tuple[AlignmentMap, ...]:
        with torch.no_grad():
            return tuple(average().frozen() for average in self._averaged)

    def look(self, step: int, loss: float | None) -> None:
        """Score the maps as they are on validation."""
        maps = self._now()
        look = _look(self._problem, maps, step, loss)
        if not self.history or look.better_than(self.best):
            self.best, self.maps = look, maps
            if not self.history or look.gains(self._gained, self._settings.least_gain):
                self.since, self._gained = step, look
        self.history.append(look)

    @property
    def due(self) -> int:
        """The step of the next look."""
        return self._settings.look_after(self.history[-1].step)

    @property
    def settled(self) -> bool:
        """Whether the last look that gained something is long past."""
        waited = self.history[-1].step - self.since
        return waited >= max(self._settings.patience * self._settings.check_every, self._gained.step / 2)

    @property
    def reached(self) -> bool:
        """Whether the worst direction is as good as was asked for."""
        enough, worst_iia = self._settings.enough, self.best.worst_iia
        return not self._settings.to_the_end and enough is not None and worst_iia is not None and worst_iia >= enough

    @property
    def perfect(self) -> bool:
        """Whether nothing is left to improve, nor to be done."""
        nothing = self.best.worst_iia == 1 and self.best.validation_loss is None
        return nothing and not self._settings.to_the_end


def _look(problem: Problem, maps: Sequence[AlignmentMap], step: int, loss: float | None) -> Look:
    run = {d: given for d, given in problem.validation.items() if problem.objectives[d].runs_target}
    correct = correct_trials(problem.sites, maps, problem.swap, run)
    mean = float(torch.stack([trials.double().mean() for trials in correct.values()]).mean()) if correct else None
    return Look(
        step,
        loss,
        worst(correct) if correct else None,
        mean,
        None if len(run) == len(problem.validation) else _validation_loss(problem, maps),
    )


@torch.no_grad()
def _validation_loss(problem: Problem, maps: Sequence[AlignmentMap]) -> float:
    total = 0.0
    for objective, directions in problem.by_objective(problem.validation):
        for direction in directions:
            given, site = problem.validation[direction], problem.sites[direction.target]
            for chunk in torch.arange(len(given)).split(AT_ONCE):
                batch = given.take(chunk)
                loss = objective.loss(site, [batch], _swapped(problem.swap, [direction], [batch], maps))
                total += objective.weight / len(directions) * len(chunk) / len(given) * float(loss)
    return total
