"""EarlyStopping at the validation interventions: which maps are the best so far, and whether they still improve.

maps in training --running average--> maps --continuations of validation interventions--> look --> the best so far
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch.optim.swa_utils import AveragedModel

from causalign.maps.base import AlignmentMap
from causalign.scoring.iia import AT_ONCE, row_outcomes, worst
from causalign.search.config import SearchConfig
from causalign.search.problem import Problem

_CLEARLY = 1e-3  # so much of a loss must be gone for it to count as better


@dataclass(frozen=True)
class Evaluation:
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

    def better_than(self, other: "Evaluation") -> bool:
        """Whether these maps are to be kept instead: the best worst direction, on a tie the mean, or the least loss."""
        if self.validation_loss is not None and other.validation_loss is not None:
            return self.validation_loss < other.validation_loss * (1 - _CLEARLY)
        return (self.worst_iia or 0.0, self.mean_iia or 0.0) > (other.worst_iia or 0.0, other.mean_iia or 0.0)

    def gains(self, other: "Evaluation", least: float) -> bool:
        """Whether a better look is better by so much IIA, or by that share of the loss."""
        if least == 0:
            return True
        if self.validation_loss is not None and other.validation_loss is not None:
            return self.validation_loss <= other.validation_loss * (1 - least)
        return (self.worst_iia or 0.0) >= (other.worst_iia or 0.0) + least


class EarlyStopping:
    """The looks so far, and the maps of the best one."""

    def __init__(self, problem: Problem, averaged: Sequence[AveragedModel], settings: SearchConfig) -> None:
        self._problem, self._averaged, self._settings = problem, averaged, settings
        self.history: list[Evaluation] = []
        self.since = 0
        """The step of the last look that was better by the least gain, or of what else gave the search a new chance."""
        self.maps = self._now()
        self.best = self._gained = Evaluation(0, None, None, None)

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


def _look(problem: Problem, maps: Sequence[AlignmentMap], step: int, loss: float | None) -> Evaluation:
    run = {d: given for d, given in problem.validation.items() if problem.objectives[d].runs_target}
    correct = row_outcomes(problem.sites, maps, problem.swap, run)
    mean = float(torch.stack([trials.double().mean() for trials in correct.values()]).mean()) if correct else None
    return Evaluation(
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
                loss = objective.loss(site, [batch], problem.swapped([direction], [batch], maps))
                total += objective.weight / len(directions) * len(chunk) / len(given) * float(loss)
    return total
