"""Comparison with the textbook search: throughput, and the time to a worst IIA of 0.99."""

import time
from collections.abc import Iterator

from causalign.alignment.align import align
from causalign.benchmarks import network_pair as _pair
from causalign.benchmarks.measurement import Steps
from causalign.benchmarks.row import Row
from causalign.benchmarks.textbook import Textbook
from causalign.search.config import SearchConfig

_RANK, _ENOUGH = 32, 0.99
_AT_MOST = {True: 30.0, False: 900.0}  # time limit of the textbook search in seconds, by `quick`
_EVAL_EVERY = 25  # steps between evaluations of the textbook search on its validation rows


def throughput(quick: bool) -> Iterator[Row]:
    """Yield the interventions per second, with the networks of `align` run in float32 and in bfloat16."""
    for precision in ("float32", "bfloat16"):
        textbook = Textbook(_pair.networks(), _RANK)
        timer = Steps("search", {"textbook": textbook.step})
        steps = 8 if quick else 25
        config = SearchConfig(
            batch_size=512, initial_batch_size=512, max_steps=steps, eval_every=steps, precision=precision
        )
        alignment = align(_pair.sites(), rank=_RANK, search=config, callbacks=[timer])
        taken = timer.medians()
        ours = config.batch_size * len(_pair.DIRECTIONS) / taken["ours"]
        theirs = textbook.interventions_per_step / taken["textbook"]
        yield Row(
            benchmark="throughput",
            case=f"{precision}, rank {_RANK}, batch {config.batch_size}",
            ours=ours,
            unit="interventions/s",
            rival=f"textbook, float32, batch {textbook.batch}",
            theirs=theirs,
            ratio=ours / theirs,
            reads="times",
            goal=30,
            worst_iia=alignment.worst_iia,
        )


def time_to_iia(quick: bool) -> Iterator[Row]:
    """Yield the seconds of a call of `align` that stops at a worst IIA of 0.99 on validation.

    They include preparation and scoring. The time of the textbook search does not include its evaluations.
    """
    theirs, reached, steps = _textbook_seconds(_AT_MOST[quick])
    for rank in (16, 32):
        runs = []
        for seed in range(2 if quick else 5):
            began = time.perf_counter()
            alignment = align(
                _pair.sites(), rank=rank, seed=seed, search=SearchConfig(target_iia=_ENOUGH, eval_every=5)
            )
            runs.append((time.perf_counter() - began, alignment))
        ours, median = sorted(runs, key=lambda run: run[0])[len(runs) // 2]
        note = f"{median.record.steps} steps; textbook: {reached:.3f} after {steps}"
        yield Row(
            benchmark="time-to-iia",
            case=f"0.99, rank {rank}",
            ours=ours,
            unit="s",
            rival=f"textbook, rank {_RANK}",
            theirs=theirs,
            ratio=theirs / ours,
            reads="times",
            goal=100 if rank == _RANK else None,
            worst_iia=min(alignment.worst_iia for _, alignment in runs),
            note=note if reached >= _ENOUGH else f"at least: {note}",
        )


def _textbook_seconds(at_most: float) -> tuple[float, float, int]:
    """Run the textbook search until its worst IIA is 0.99, or its time is up.

    Returns:
        Its seconds, its worst IIA, and its number of steps.
    """
    began = time.perf_counter()
    textbook = Textbook(_pair.networks(), _RANK)
    spent, steps, reached = time.perf_counter() - began, 0, 0.0
    while spent < at_most and reached < _ENOUGH:
        began = time.perf_counter()
        for _ in range(_EVAL_EVERY):
            textbook.step()
        spent, steps = spent + time.perf_counter() - began, steps + _EVAL_EVERY
        reached = textbook.worst_iia()
    return spent, reached, steps
