"""The search: gradient descent on the maps until they stop improving on validation rows.

Everything upstream of the swap is frozen and was computed once. A step gathers stored activations, swaps them, and runs
each target on from there as one batch.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from causalign.callbacks import Callback, ProgressUpdate, silent
from causalign.counterfactuals.direction import Direction
from causalign.journal import Journal, State, within
from causalign.maps.base import AlignmentMap, TrainableMap, gates_of
from causalign.search.config import SearchConfig
from causalign.search.direction_sampling import sample_directions
from causalign.search.early_stopping import EarlyStopping, Evaluation
from causalign.search.objectives import Objective
from causalign.search.optimizers import Optimizers
from causalign.search.problem import Problem
from causalign.search.stop_reason import StopReason
from causalign.storage import forget_mapped_pages, release_freed_memory

_MEMORY = 0.9  # decay of the running average of the parameters: about the last ten steps


@dataclass(frozen=True)
class SearchResult:
    """The best maps on validation, and how the search came to them."""

    maps: tuple[AlignmentMap, ...]
    best: Evaluation
    history: tuple[Evaluation, ...]
    steps: int
    """Steps taken until the search stopped. The maps are those of the best evaluation."""
    stopped: StopReason


class Search:
    """The maps in training. It goes on for so many steps, and can go on again from there.

    A running average of the last steps' parameters is evaluated and kept: a constant learning rate leaves the maps
    moving about the place where they would settle. The first steps take small batches, which go as far in a fraction of
    the time.

    Args:
        problem: The optimization problem.
        maps: The maps to train.
        config: The configuration.
        rng: The generator of the batches.
        journal: The journal in which the state is kept. By default it keeps nothing.
    """

    def __init__(
        self,
        problem: Problem,
        maps: Sequence[TrainableMap],
        config: SearchConfig,
        rng: np.random.Generator,
        *,
        journal: Journal | None = None,
    ) -> None:
        self._maps, self._config, self._rng, self._journal = maps, config, rng, journal or Journal()
        self._trained = problem.at(config.precision)
        self._optimizers = Optimizers(maps, config.optimizer, config.learning_rate)
        self._averaged = [AveragedModel(each, multi_avg_fn=get_ema_multi_avg_fn(_MEMORY)) for each in maps]
        self._stopping = EarlyStopping(problem, self._averaged, config)
        self._step, self._batch_size = 0, config.first_batch_size
        self._stopped: StopReason | None = None

    def go_on(self, until: int, callback: Callback = silent) -> SearchResult:
        """Return the best maps once the search has stopped, or has taken so many steps in all.

        With a journal, Ctrl-C and SIGTERM come through between two steps, after the state has been written.

        Raises:
            FileFormatError: The state cannot be read or written.
        """
        until, stopping = min(until, self._config.max_steps), self._stopping
        with self._journal.entry(self) as entry:
            if not stopping.history:
                with entry.step():
                    stopping.evaluate(0, None)
                    self._stopped = StopReason.TARGET_IIA if stopping.reached_target else None
            while self._stopped is None and self._step < until:
                with entry.step():
                    loss = self._take_step()
                    if self._step == until and stopping.history[-1].step < until and np.isfinite(loss):
                        stopping.evaluate(until, loss)  # a trial ends here, between two evaluations
                callback(ProgressUpdate("search", self._step, until, {"loss": loss, **stopping.best.figures}))
                entry.keep()
            callback(ProgressUpdate("search", self._step, self._step, stopping.best.figures))
        stopped = self._stopped or StopReason.MAX_STEPS
        return SearchResult(stopping.maps, stopping.best, tuple(stopping.history), self._step, stopped)

    @property
    def latest(self) -> SearchResult:
        """The result so far with the maps of the last evaluation, at which a gate came to its last temperature."""
        stopping, stopped = self._stopping, self._stopped or StopReason.ANNEALED
        last = stopping.history[-1] if stopping.history else stopping.best
        return SearchResult(stopping.latest, last, tuple(stopping.history), self._step, stopped)

    def state(self) -> State:
        """Return the state between two steps, from which a search of the same problem comes to the same bytes."""
        stopping, average = self._stopping.state(), nn.ModuleList(self._averaged)
        parts = {
            "maps": nn.ModuleList(self._maps).state_dict(),
            "average": average.state_dict(),
            "optimizers": self._optimizers.tensors(),
            "stopping": stopping.tensors,
        }
        # A gate that maps share is there once for each, and a file has no two names for one tensor: hence the copies.
        tensors = {f"{part}.{name}": each.clone() for part, of in parts.items() for name, each in of.items()}
        values = {
            "step": self._step,
            "batch_size": self._batch_size,
            "stopped": self._stopped,
            "rng": self._rng.bit_generator.state,
            "stopping": stopping.values,
        }
        return State(tensors, values)

    def restore(self, state: State) -> None:
        """Go back to a state of a search of the same problem from the same maps."""
        tensors, values = state
        nn.ModuleList(self._maps).load_state_dict(within(tensors, "maps"))
        self._optimizers.restore(within(tensors, "optimizers"))
        self._stopping.restore(State(within(tensors, "stopping"), values["stopping"]))
        nn.ModuleList(self._averaged).load_state_dict(within(tensors, "average"))
        self._step, self._batch_size = values["step"], values["batch_size"]
        self._stopped = None if values["stopped"] is None else StopReason(values["stopped"])
        self._rng.bit_generator.state = values["rng"]

    def _take_step(self) -> float:
        """Take a step, evaluate where an evaluation is due, and return the loss."""
        self._step += 1
        for gate in gates_of(self._maps):
            gate.anneal(self._step / self._config.max_steps)
        batches = BatchPlan(self._batch_size, self._config.directions_per_site, self._rng)
        loss = _train_step(self._trained, self._maps, batches, self._optimizers)
        for average, each in zip(self._averaged, self._maps, strict=True):
            average.update_parameters(each)
        forget_mapped_pages()
        self._stopping.add(loss)
        if not np.isfinite(loss):
            self._stopped = StopReason.DIVERGED
        elif self._step == self._stopping.due:
            self._stopping.evaluate(self._step, loss)
            release_freed_memory()
            self._stop_or_grow()
        return loss

    def _stop_or_grow(self) -> None:
        """Stop where nothing more is to be gained; take full batches where nothing more is to be gained from small."""
        config, stopping = self._config, self._stopping
        if stopping.reached_target:
            self._stopped = StopReason.TARGET_IIA
        elif stopping.perfect:
            self._stopped = StopReason.EARLY_STOPPING
        elif stopping.out_of_patience and self._batch_size != config.batch_size:
            self._batch_size, stopping.since = config.batch_size, self._step
        elif stopping.out_of_patience and config.early_stopping:
            self._stopped = StopReason.EARLY_STOPPING


def search(
    problem: Problem,
    maps: Sequence[TrainableMap],
    config: SearchConfig,
    rng: np.random.Generator,
    callback: Callback = silent,
) -> SearchResult:
    """Train the maps, and keep those of the best evaluation on validation."""
    return Search(problem, maps, config, rng).go_on(config.max_steps, callback)


@dataclass(frozen=True)
class BatchPlan:
    """How the rows of a step are drawn."""

    size: int
    """Rows of each direction."""
    directions_per_site: int
    rng: np.random.Generator


@torch.enable_grad()
def _train_step(problem: Problem, maps: Sequence[TrainableMap], batches: BatchPlan, optimizers: Optimizers) -> float:
    """Take one gradient step and return the loss.

    Each objective is a mean over its directions, and the loss is their sum (equations 6, 7 and 9). The penalties of
    gates are minimized with it, and are no part of the loss that is returned.
    """
    current = [trainable() for trainable in maps]
    chosen = sample_directions(list(problem.train), len(problem.sites), batches.directions_per_site, batches.rng)
    loss: Float[Tensor, ""] = torch.stack(
        [
            _loss(problem, objective, into, current, batches) / len(directions)
            for objective, directions in problem.by_objective({d: problem.train[d] for d in chosen})
            for into in _by_target(directions)
        ]
    ).sum()
    optimizers.step(torch.stack([loss, *(gate.penalty() for gate in gates_of(maps))]).sum())
    return float(loss.detach())


def _by_target(directions: Sequence[Direction]) -> list[list[Direction]]:
    """The directions into each target: they run as one batch."""
    return [list(into) for _, into in groupby(sorted(directions, key=lambda d: d.target), key=lambda d: d.target)]


def _loss(
    problem: Problem,
    objective: Objective,
    into: Sequence[Direction],
    maps: Sequence[AlignmentMap],
    plan: BatchPlan,
) -> Float[Tensor, ""]:
    """The loss of a random batch of each direction into one target, summed over them."""
    batches = []
    for direction in into:
        rows = problem.train[direction]
        batches.append(rows.take(torch.from_numpy(plan.rng.integers(len(rows), size=plan.size))))
    return objective.loss(problem.sites[into[0].target], batches, problem.swapped(into, batches, maps))
