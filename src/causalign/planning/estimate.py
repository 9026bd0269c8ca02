"""What an alignment will take: found by rehearsing it on few trials and small batches, and drawing lines from there.

Nothing large is ever held to find it out.
"""

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from statistics import median
from typing import Any

from causalign.alignment.align import request_of
from causalign.alignment.fit import Splits
from causalign.alignment.request import Request
from causalign.alignment.schema import Counts
from causalign.callbacks import Callback, ProgressUpdate, silent
from causalign.counterfactuals.dataset import Counterfactuals
from causalign.counterfactuals.direction import Direction
from causalign.counterfactuals.rows import CounterfactualRows
from causalign.engine.activation_cache import MAX_TRIALS
from causalign.maps.base import AlignmentMap
from causalign.memory import GIB, held, physical
from causalign.planning.meter import Meter
from causalign.random_streams import numpy_stream
from causalign.scoring.iia import AT_ONCE, row_outcomes
from causalign.search.config import SearchConfig
from causalign.search.problem import Problem
from causalign.search.search import search
from causalign.sites.readable import Readable
from causalign.timer import Timer

_FEW = Counts(train=256, validation=64, test=64)
_BATCH = 128  # the largest that is rehearsed
_STEPS = 4


@dataclass(frozen=True)
class Estimate:
    """What an alignment will take on this machine, if its search takes all the steps it may.

    Of one search: `rank="auto"` makes one for each rank that it tries.
    """

    operations: float
    """Multiplications and additions of a step, in matrix products."""
    preparation: float
    """Seconds before the first step."""
    first_step: float
    """Seconds of a step with the smaller batches that a search begins with."""
    step: float
    """Seconds of a step with those that it ends with."""
    look: float
    """Seconds of a look at the validation interventions."""
    score: float
    """Seconds of scoring the test interventions, and their floor."""
    first_steps: int
    steps: int
    """The most of both kinds that the search may take; as a rule it settles earlier."""
    looks: int
    tables: float
    """GiB of recorded states, of what precedes swaps, and of interventions."""
    working: float
    """GiB that a step, or a look, holds beside them."""
    process: float
    """GiB that are held before: the networks and the libraries."""
    memory: float
    """GiB that tables may take."""
    controls: bool = False
    """Whether controls are searched for beside it."""
    shallow: tuple[str, ...] = ()
    """Networks of which a few layers stood in for all."""

    @property
    def seconds(self) -> float:
        """Of the whole, at most."""
        searching = self.first_steps * self.first_step + self.steps * self.step + self.looks * self.look
        alone = self.preparation + searching + self.score
        return alone + self.preparation + 2 * searching + 1.5 * self.score if self.controls else alone

    @property
    def peak(self) -> float:
        """GiB of memory at the most."""
        return self.process + min(self.tables, self.memory) + self.working

    @property
    def disk(self) -> float:
        """GiB of temporary files."""
        return max(0.0, self.tables - self.memory)

    def with_more(self, more: "Estimate", less: "Estimate", times: float) -> "Estimate":
        """This with what `more` takes beyond `less`, so many times; never less than this."""
        return replace(
            self,
            **{
                name: getattr(self, name) + times * max(0.0, getattr(more, name) - getattr(less, name))
                for name in ("operations", "preparation", "first_step", "step", "look", "score", "tables", "working")
            },
        )

    @property
    def too_much(self) -> str | None:
        """What would do where the memory will not."""
        there = physical()
        if there is None or self.peak < there / GIB:
            return None
        return (
            f"it needs {self.peak:.1f} GiB of memory, and the machine has {there / GIB:.1f}: networks in half "
            f"precision ({self.process:.1f} GiB), a smaller batch ({self.working:.1f} GiB), a lower memory = ... "
            f'({self.tables:.1f} GiB of tables, the rest of which lies in files), or precision = "bfloat16" will do'
        )


@dataclass(frozen=True)
class _Measured:
    """Of one size of batch, or look."""

    size: int
    seconds: float
    held: float
    operations: float


def plan(data: Counterfactuals | Sequence[Readable] | Readable, **arguments: Any) -> Estimate:
    """Estimate what `align` with the same arguments will take: operations, memory, disk and seconds.

    A few rows and small batches are tried; nothing of the size that is asked for is held.

    Raises:
        InvalidArgument: As `align`.
    """
    request, config = request_of(data, arguments)
    return planned(request, config, arguments.get("controls", False))


def planned(request: Request, settings: SearchConfig, controls: bool = False) -> Estimate:
    """Estimate a request, by trying it on few rows."""
    process, counts = held() / GIB, request.counts
    timer = Timer()
    budget = request.data.store.budget
    request = replace(request, data=request.data.with_counts(dict(_FEW)))
    context = request.context(timer, silent)
    splits = request.rows(context)
    with timer("start"):
        maps = request.starting_maps(context)
    spent = defaultdict(float, timer.read())
    of_states, of_interventions = _times_as_much(counts)
    steps = [_steps(request, settings, splits, maps, size) for size in _sizes(settings.batch)]
    first = _first_steps(settings)
    others, trial = len(request.ranks) - 1, min(settings.trial, settings.most_steps)
    seconds = [(each.size, each.seconds) for each in steps]
    looks = [_look(request, splits[name], maps) for name in ("validation", "train")]
    return Estimate(
        operations=_extended([(each.size, each.operations) for each in steps], settings.batch),
        preparation=spent["states"] * of_states + spent["start"] + spent["data"] * of_interventions,
        first_step=_extended(seconds, settings.first_batch),
        step=_extended(seconds, settings.batch),
        look=_extended([(each.size, each.seconds) for each in looks], counts.validation),
        score=2 * _extended([(each.size, each.seconds) for each in looks], counts.test),
        first_steps=first,
        steps=settings.most_steps - first + others * trial,
        looks=settings.looks + others * replace(settings, most_steps=trial).looks,
        tables=sum(
            _table_bytes(request.data.activation_bytes(name), split, getattr(counts, name), getattr(_FEW, name))
            for name, split in splits.items()
        )
        / GIB,
        working=max(
            _extended([(each.size, each.held) for each in steps], settings.batch),
            _extended([(each.size, each.held) for each in looks], min(AT_ONCE, max(counts.validation, counts.test))),
        )
        / GIB,
        process=process,
        memory=budget,
        controls=controls,
    )


def _sizes(batch: int) -> list[int]:
    return sorted({max(1, min(batch, _BATCH) // 4), min(batch, _BATCH)})


def _first_steps(settings: SearchConfig) -> int:
    """How many steps have small batches at least: until it shows that they lead no further."""
    return min(settings.most_steps, settings.patience * settings.check_every)


def _extended(measured: Sequence[tuple[int, float]], size: int) -> float:
    """Where the line through the first and the last leads, as it can only rise."""
    (a, at_a), (b, at_b) = measured[0], measured[-1]
    slope = max(0.0, (at_b - at_a) / (b - a)) if b > a else at_b / b
    return at_b + slope * (size - b)


def _trials(count: int) -> int:
    return min(count, MAX_TRIALS)


def _times_as_much(counts: Counts) -> tuple[float, float]:
    """How many more trials are read, and interventions drawn, than in the rehearsal."""
    asked, few = dict(counts), dict(_FEW)
    return sum(map(_trials, asked.values())) / sum(map(_trials, few.values())), sum(asked.values()) / sum(few.values())


def _table_bytes(activations: int, rows: Mapping[Direction, CounterfactualRows], count: int, few: int) -> float:
    """Of a split with `count` interventions a direction, from one that has `few`."""
    states = activations * _trials(count) / _trials(few)
    return states + sum(each.nbytes for each in rows.values()) * count / few


def _steps(
    request: Request, settings: SearchConfig, splits: Splits, maps: Sequence[AlignmentMap], batch: int
) -> _Measured:
    """A few steps; they look at next to nothing."""
    train, looked_at = (
        {direction: splits[name][direction] for direction in request.objectives} for name in ("train", "validation")
    )
    looked_at = {
        direction: given if request.objectives[direction].uses_latents else splits["test"][direction]
        for direction, given in looked_at.items()
    }
    problem = Problem(request.sites, request.method.swap, request.objectives, train, looked_at)

    def run(steps: int, listener: Callback = silent) -> None:
        so_many = replace(settings, batch=batch, grow=1, most_steps=steps, check_every=max(1, steps), enough=None)
        found = search(problem, request.trainable(maps), so_many, numpy_stream(request.seed, "batches"), listener)
        if found.stopped == "interrupted":
            raise KeyboardInterrupt

    times: list[float] = []

    def listen(_: ProgressUpdate) -> None:
        if len(times) < _STEPS:
            times.append(time.perf_counter())

    run(_STEPS, listen)
    with Meter() as looking:
        run(0)
    with Meter() as meter:
        run(1)  # and two looks
    operations = meter.operations - 2 * looking.operations
    seconds = median(after - before for before, after in pairwise(times))
    return _Measured(batch, seconds, float(meter.peak), float(operations))


def _look(request: Request, given: Mapping[Direction, CounterfactualRows], maps: Sequence[AlignmentMap]) -> _Measured:
    """A look at interventions, of the directions whose target may be run."""
    run = {direction: each for direction, each in given.items() if request.objectives[direction].runs_target}
    if not run:
        return _Measured(1, 0.0, 0.0, 0.0)

    def look() -> None:
        row_outcomes(request.sites, maps, request.method.swap, run)

    look()
    with Meter() as meter:
        look()
    began = time.perf_counter()
    look()
    return _Measured(
        len(next(iter(run.values()))), time.perf_counter() - began, float(meter.peak), float(meter.operations)
    )
