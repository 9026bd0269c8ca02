"""Early stopping: which maps are the best so far on validation, and whether they still improve.

maps in training --running average--> maps --outcomes of validation rows--> evaluation --> the best so far
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from causalign.journal import State, within
from causalign.maps.base import AlignmentMap, TrainableMap
from causalign.scoring.iia import AT_ONCE, by_variable, row_outcomes, worst
from causalign.search.config import SearchConfig
from causalign.search.problem import Problem

_CLEARLY = 1e-3  # the smallest relative decrease of a loss that counts as better
_FALL = 0.05  # the smallest decrease of the training loss, as a share of the first, that counts as progress


@dataclass(frozen=True)
class Evaluation:
    """The scores of the maps of one step on the validation rows."""

    step: int
    loss: float | None
    """The training loss of that step's batch (equation 6, or 9). `None` before the first step."""
    worst_iia: float | None
    """The least IIA over the directions whose target may be run, and over variables. `None` if there are none."""
    mean_iia: float | None
    validation_loss: float | None = None
    """Equation 9 on the validation rows. It decides where some targets may not be run, and is `None` elsewhere."""

    @property
    def figures(self) -> dict[str, float]:
        """The scores to show beside a progress bar, the one that decides first."""
        named = {"validation": self.validation_loss, "worst IIA": self.worst_iia, "mean IIA": self.mean_iia}
        return {name: value for name, value in named.items() if value is not None}

    def better_than(self, other: "Evaluation") -> bool:
        """Whether the worst direction is better (on a tie, the mean), or the validation loss lower where it decides."""
        if self.validation_loss is not None and other.validation_loss is not None:
            return self.validation_loss < other.validation_loss * (1 - _CLEARLY)
        return (self.worst_iia or 0.0, self.mean_iia or 0.0) > (other.worst_iia or 0.0, other.mean_iia or 0.0)

    def improves_by(self, min_delta: float, other: "Evaluation") -> bool:
        """Whether an evaluation that is better is better by so much IIA, or by that share of the loss."""
        if min_delta == 0:
            return True
        if self.validation_loss is not None and other.validation_loss is not None:
            return self.validation_loss <= other.validation_loss * (1 - min_delta)
        return (self.worst_iia or 0.0) >= (other.worst_iia or 0.0) + min_delta


class EarlyStopping:
    """The evaluations so far, and the maps of the best one."""

    def __init__(self, problem: Problem, averaged: Sequence[AveragedModel], config: SearchConfig) -> None:
        self._problem, self._averaged, self._config = problem, averaged, config
        self.history: list[Evaluation] = []
        self.since = 0
        """The step of the last improvement by `min_delta`, fall of the training loss, or change of the batch size."""
        self._losses: list[float] = []
        """The training losses since the last evaluation."""
        self._first = self._lowest = math.nan
        """The mean training loss before the first evaluation, and at the last fall."""
        self.maps = self.latest = self._current()
        self.best = self._improved = Evaluation(0, None, None, None)
        self._parameters = {"best": self._averages(), "latest": self._averages()}

    def _current(self) -> tuple[AlignmentMap, ...]:
        with torch.no_grad():
            return tuple(cast("TrainableMap", average.module).result() for average in self._averaged)

    def _averages(self) -> dict[str, Tensor]:
        """A copy of the running averages."""
        return {name: each.clone() for name, each in nn.ModuleList(self._averaged).state_dict().items()}

    def evaluate(self, step: int, loss: float | None) -> None:
        """Score the current maps on validation, and keep them if they are the best."""
        maps = self.latest = self._current()
        self._parameters["latest"] = self._averages()
        evaluation = _evaluation(self._problem, maps, step, loss)
        if self._falls():
            self.since = step
        if not self.history or evaluation.better_than(self.best):
            self.best, self.maps = evaluation, maps
            self._parameters["best"] = self._parameters["latest"]
            if not self.history or evaluation.improves_by(self._config.min_delta, self._improved):
                self.since, self._improved = step, evaluation
        self.history.append(evaluation)

    def add(self, loss: float) -> None:
        """Take note of the training loss of a step."""
        self._losses.append(loss)

    def _falls(self) -> bool:
        """Whether the training loss still falls. A row is right or wrong only once most of its loss is gone.

        Each fall is a share of the first loss, so that there are at most 20 of them.
        """
        if not self._losses:
            return False
        loss, self._losses = sum(self._losses) / len(self._losses), []
        if math.isnan(self._first):
            self._first = self._lowest = loss
        if loss > self._lowest - _FALL * self._first:
            return False
        self._lowest = loss
        return True

    def state(self) -> State:
        """Return the evaluations so far, and the running averages of the best and of the latest."""
        tensors = {
            f"{which}.{name}": tensor
            for which, parameters in self._parameters.items()
            for name, tensor in parameters.items()
        }
        values = {
            "history": [asdict(each) for each in self.history],
            "best": asdict(self.best),
            "improved": asdict(self._improved),
            "since": self.since,
            "losses": [*self._losses],
            "first": self._first,
            "lowest": self._lowest,
        }
        return State(tensors, values)

    def restore(self, state: State) -> None:
        """Go back to a state. The maps are computed anew from their parameters.

        The running averages are left as those of the latest evaluation.
        """
        self.history = [Evaluation(**each) for each in state.values["history"]]
        self.best, self._improved = Evaluation(**state.values["best"]), Evaluation(**state.values["improved"])
        self.since, self._losses = state.values["since"], [*state.values["losses"]]
        self._first, self._lowest = state.values["first"], state.values["lowest"]
        self._parameters = {which: within(state.tensors, which) for which in self._parameters}
        self.maps, self.latest = (self._maps_of(self._parameters[which]) for which in ("best", "latest"))

    def _maps_of(self, parameters: Mapping[str, Tensor]) -> tuple[AlignmentMap, ...]:
        nn.ModuleList(self._averaged).load_state_dict(parameters)
        return self._current()

    @property
    def due(self) -> int:
        """The step of the next evaluation."""
        return self._config.next_evaluation(self.history[-1].step)

    @property
    def out_of_patience(self) -> bool:
        """Whether the last improvement is longer ago than `patience` allows."""
        waited = self.history[-1].step - self.since
        return waited >= max(self._config.patience * self._config.eval_every, self._improved.step / 2)

    @property
    def reached_target(self) -> bool:
        """Whether the worst direction has reached `target_iia`."""
        target, worst_iia = self._config.target_iia, self.best.worst_iia
        return self._config.early_stopping and target is not None and worst_iia is not None and worst_iia >= target

    @property
    def perfect(self) -> bool:
        """Whether nothing is left to improve."""
        return self._config.early_stopping and self.best.worst_iia == 1 and self.best.validation_loss is None


def _evaluation(problem: Problem, maps: Sequence[AlignmentMap], step: int, loss: float | None) -> Evaluation:
    run = {d: rows for d, rows in problem.validation.items() if problem.objectives[d].runs_target}
    correct = by_variable(row_outcomes(problem.sites, maps, problem.swap, run), run)
    mean = float(torch.stack([outcomes.double().mean() for outcomes in correct.values()]).mean()) if correct else None
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
            rows, site = problem.validation[direction], problem.sites[direction.target]
            for chunk in torch.arange(len(rows)).split(AT_ONCE):
                batch = rows.take(chunk)
                loss = objective.loss(site, [batch], problem.swapped([direction], [batch], maps))
                total += len(chunk) / len(rows) / len(directions) * float(loss)
    return total
