"""Estimates of the time, memory and disk space of an alignment.

A few rows and small batches are run, and their costs are extrapolated linearly.

data, configuration --a few rows and steps--> seconds, bytes and operations --extrapolated--> estimate
"""

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from statistics import median
from typing import Any

from causalign.alignment.align import config_of
from causalign.alignment.config import AlignmentConfig
from causalign.alignment.fit import Splits, gated_maps
from causalign.alignment.request import Request
from causalign.alignment.schema import Counts
from causalign.callbacks import Callback, ProgressUpdate, silent
from causalign.config_model import with_fields
from causalign.counterfactuals.dataset import Counterfactuals
from causalign.counterfactuals.direction import Direction
from causalign.counterfactuals.rows import CounterfactualRows
from causalign.engine.activation_cache import MAX_TRIALS
from causalign.maps.base import AlignmentMap
from causalign.memory import GIB, held, physical
from causalign.notebook import summary_html
from causalign.planning.meter import Meter
from causalign.random_streams import numpy_stream
from causalign.scoring.iia import AT_ONCE, row_outcomes
from causalign.search.config import SearchConfig
from causalign.search.problem import Problem
from causalign.search.search import search
from causalign.sites.readable import Readable
from causalign.timer import Timer

_FEW = Counts(train=256, validation=64, test=64)
_BATCH = 128  # the largest batch that is run
_STEPS = 4


@dataclass(frozen=True)
class Estimate:
    """The time, memory and disk space of an alignment on this machine, if its search takes all its steps.

    The estimate is of one search. `SmallestRank` makes a search for each rank that it tries.
    """

    operations: float
    """Multiplications and additions of a step, in matrix products."""
    preparation: float
    """Seconds before the first step."""
    first_step: float
    """Seconds of a step with the initial batch size."""
    step: float
    """Seconds of a step with the full batch size."""
    evaluation: float
    """Seconds of an evaluation on the validation rows."""
    score: float
    """Seconds of scoring the test rows, with and without the swap."""
    first_steps: int
    """Number of steps that are counted with the initial batch size."""
    steps: int
    """Number of steps that are counted with the full batch size. As a rule a search stops earlier."""
    evaluations: int
    """Number of evaluations."""
    tables: float
    """GiB of tables: stored activations, prefixes of the swaps, and rows."""
    working: float
    """GiB that a step, an evaluation or the start holds in addition to tables."""
    process: float
    """GiB that the networks and the libraries hold before the alignment."""
    memory: float
    """GiB that tables may take in memory. The rest is in temporary files."""
    controls: bool = False
    """Whether controls are included."""
    shallow: tuple[str, ...] = ()
    """The networks that were replaced by models of a few layers."""

    @property
    def seconds(self) -> float:
        """Seconds of the whole alignment, at most."""
        steps = self.first_steps * self.first_step + self.steps * self.step
        searching = steps + self.evaluations * self.evaluation
        alone = self.preparation + searching + self.score
        return alone + self.preparation + 2 * searching + 1.5 * self.score if self.controls else alone

    @property
    def peak(self) -> float:
        """GiB of memory at peak."""
        return self.process + min(self.tables, self.memory) + self.working

    @property
    def disk(self) -> float:
        """GiB of temporary files."""
        return max(0.0, self.tables - self.memory)

    def with_more(self, more: "Estimate", less: "Estimate", times: float) -> "Estimate":
        """Return this estimate with a multiple of the difference of two others added. No figure decreases.

        Args:
            more: The larger of the other estimates.
            less: The smaller of the other estimates.
            times: The factor of their difference.
        """
        return replace(
            self,
            **{
                name: getattr(self, name) + times * max(0.0, getattr(more, name) - getattr(less, name))
                for name in _EXTRAPOLATED
            },
        )

    @property
    def too_much(self) -> str | None:
        """A message about the ways to reduce memory, if the machine has too little; otherwise `None`."""
        there = physical()
        if there is None or self.peak < there / GIB:
            return None
        return (
            f"the alignment needs {self.peak:.1f} GiB of memory, and the machine has {there / GIB:.1f}; use "
            f"networks in half precision ({self.process:.1f} GiB), a smaller batch_size ({self.working:.1f} GiB), "
            f"a lower memory = ... ({self.tables:.1f} GiB of tables, the rest of which goes to files), or "
            'precision = "bfloat16"'
        )

    @property
    def lines(self) -> dict[str, str]:
        """The figures as they are shown, by name."""
        stages = (
            (self.first_steps, self.first_step, "steps"),
            (self.steps, self.step, "steps"),
            (self.evaluations, self.evaluation, "evaluations"),
        )
        return {
            "time, at most": f"{self.seconds:,.0f} s",
            "preparation and scoring": f"{self.preparation:,.3g} s and {self.score:,.3g} s",
            "search, if it takes all steps": ", ".join(
                f"{times:,} {what} of {each:.2g} s" for times, each, what in stages
            ),
            "operations of a step": f"{self.operations / 1e9:,.3g} GFLOP",
            "memory at peak": f"{self.peak:.2f} GiB",
            "of it networks and libraries": f"{self.process:.2f} GiB",
            "of it stored activations and rows": f"{min(self.tables, self.memory):.2f} GiB",
            "of it the start, or a step": f"{self.working:.2f} GiB",
            "disk, for temporary files": f"{self.disk:.2f} GiB",
        }

    def _repr_html_(self) -> str:
        """The estimate in a notebook: all figures."""
        return summary_html(repr(self), self.lines)

    def __repr__(self) -> str:
        return (
            f"Estimate({self.seconds:,.0f} s at most, {self.peak:.2f} GiB of memory, {self.disk:.2f} GiB of disk, "
            f"{self.operations / 1e9:,.3g} GFLOP a step)"
        )


_EXTRAPOLATED = ("operations", "preparation", "first_step", "step", "evaluation", "score", "tables", "working")


@dataclass(frozen=True)
class _Measured:
    """The measured cost of a step with one batch size, or of an evaluation of a number of rows."""

    size: int
    """Number of rows of each direction."""
    seconds: float
    held: float
    """Bytes of memory at peak."""
    operations: float


@with_fields(AlignmentConfig)
def estimate(
    data: Counterfactuals | Sequence[Readable] | Readable, config: AlignmentConfig | None = None, **fields: Any
) -> Estimate:
    """Estimate the operations, memory, disk space and seconds of `align` with the same arguments.

    Only a few rows and small batches are run. Nothing of the requested size is held in memory.

    Args:
        data: As for `align`.
        config: As for `align`.
        **fields: The fields of `AlignmentConfig`.

    Returns:
        The estimate, if the search takes all its steps.

    Raises:
        InvalidArgument: As `align`.
    """
    return estimate_of(Request.checked(data, config_of(config, fields)))


def estimate_of(request: Request) -> Estimate:
    """Estimate the cost of a request by running it on a few rows."""
    process, counts, config = held() / GIB, request.counts, request.search
    timer = Timer()
    budget, classes = request.data.store.budget, request.data.class_count()
    request = replace(request, data=request.data.with_counts(dict(_FEW)))
    context = request.context(timer, silent)
    splits = request.rows(context)
    ranks = request.rank.ranks(request.full_rank)
    with timer("start"), Meter() as starting:
        maps = request.starting_maps(max(ranks), context)
    start = starting.peak * (1 if classes is None else classes / (request.data.class_count() or 1))
    spent = defaultdict(float, timer.read())
    of_states, of_rows = _times_as_much(counts)
    steps = [_steps(request, splits, maps, size) for size in _sizes(config.batch_size)]
    first = _first_steps(config)
    others, trial = len(ranks) - 1, min(request.rank.trial_steps, config.max_steps)
    seconds = [(each.size, each.seconds) for each in steps]
    evaluations = [_evaluation(request, splits[name], maps) for name in ("validation", "train")]
    return Estimate(
        operations=_extended([(each.size, each.operations) for each in steps], config.batch_size),
        preparation=spent["states"] * of_states + spent["start"] + spent["data"] * of_rows,
        first_step=_extended(seconds, config.first_batch_size),
        step=_extended(seconds, config.batch_size),
        evaluation=_extended([(each.size, each.seconds) for each in evaluations], counts.validation),
        score=2 * _extended([(each.size, each.seconds) for each in evaluations], counts.test),
        first_steps=first,
        steps=config.max_steps - first + others * trial,
        evaluations=config.evaluations + others * config.replace(max_steps=trial).evaluations,
        tables=sum(
            _table_bytes(request.data.activation_bytes(name), split, getattr(counts, name), getattr(_FEW, name))
            for name, split in splits.items()
        )
        / GIB,
        working=max(start, _working_bytes(steps, evaluations, config.batch_size, counts)) / GIB,
        process=process,
        memory=budget,
        controls=request.config.controls,
    )


def _working_bytes(
    steps: Sequence[_Measured], evaluations: Sequence[_Measured], batch_size: int, counts: Counts
) -> float:
    """Return the bytes that a step or an evaluation holds in addition to tables."""
    rows = min(AT_ONCE, max(counts.validation, counts.test))
    return max(
        _extended([(each.size, each.held) for each in steps], batch_size),
        _extended([(each.size, each.held) for each in evaluations], rows),
    )


def _sizes(batch: int) -> list[int]:
    return sorted({max(1, min(batch, _BATCH) // 4), min(batch, _BATCH)})


def _first_steps(config: SearchConfig) -> int:
    """Return the least number of steps with the initial batch size, which is used until patience runs out."""
    return min(config.max_steps, config.patience * config.eval_every)


def _extended(measured: Sequence[tuple[int, float]], size: int) -> float:
    """Extrapolate to a size, along the line through the first and the last measurement. It cannot fall."""
    (a, at_a), (b, at_b) = measured[0], measured[-1]
    slope = max(0.0, (at_b - at_a) / (b - a)) if b > a else at_b / b
    return at_b + slope * (size - b)


def _trials(count: int) -> int:
    return min(count, MAX_TRIALS)


def _times_as_much(counts: Counts) -> tuple[float, float]:
    """Return the ratios of trials that are read, and of rows that are drawn, to those of the estimate."""
    full, few = dict(counts), dict(_FEW)
    return sum(map(_trials, full.values())) / sum(map(_trials, few.values())), sum(full.values()) / sum(few.values())


def _table_bytes(activations: int, rows: Mapping[Direction, CounterfactualRows], count: int, few: int) -> float:
    """Return the bytes of the tables of a split with `count` rows of each direction, from one with `few`."""
    states = activations * _trials(count) / _trials(few)
    return states + sum(each.nbytes for each in rows.values()) * count / few


def _steps(request: Request, splits: Splits, maps: Sequence[AlignmentMap], batch_size: int) -> _Measured:
    """Measure a few steps, with as few evaluations as possible."""
    train, validation = (
        {direction: splits[name][direction] for direction in request.objectives} for name in ("train", "validation")
    )
    validation = {
        direction: rows if request.objectives[direction].uses_latents else splits["test"][direction]
        for direction, rows in validation.items()
    }
    problem = Problem(request.sites, request.method.intervention, request.objectives, train, validation)

    def run(steps: int, callback: Callback = silent) -> None:
        config = request.search.replace(
            batch_size=batch_size,
            initial_batch_size=batch_size,
            max_steps=steps,
            eval_every=max(1, steps),
            target_iia=None,
        )
        gate = request.rank.gate(maps[0].rank)
        search(problem, gated_maps(request, maps, gate), config, numpy_stream(request.seed, "batches"), callback)

    times: list[float] = []

    def record_time(_: ProgressUpdate) -> None:
        if len(times) < _STEPS:
            times.append(time.perf_counter())

    run(_STEPS, record_time)
    with Meter() as evaluating:
        run(0)
    with Meter() as meter:
        run(1)  # with two evaluations
    operations = meter.operations - 2 * evaluating.operations
    seconds = median(after - before for before, after in pairwise(times))
    return _Measured(batch_size, seconds, float(meter.peak), float(operations))


def _evaluation(
    request: Request, rows: Mapping[Direction, CounterfactualRows], maps: Sequence[AlignmentMap]
) -> _Measured:
    """Measure an evaluation of the directions whose target may be run."""
    run = {direction: each for direction, each in rows.items() if request.objectives[direction].runs_target}
    if not run:
        return _Measured(1, 0.0, 0.0, 0.0)

    def evaluate() -> None:
        row_outcomes(request.sites, maps, request.method.intervention, run)

    evaluate()
    with Meter() as meter:
        evaluate()
    began = time.perf_counter()
    evaluate()
    return _Measured(
        len(next(iter(run.values()))), time.perf_counter() - began, float(meter.peak), float(meter.operations)
    )
