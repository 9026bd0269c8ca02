"""How much of the machine a step of the search uses: what it has to compute, at the rate of a matrix multiplication."""

from collections.abc import Iterator

from causalign.alignment import Alignment, align
from causalign.benchmarks import _pair
from causalign.benchmarks._measure import Seconds, Steps, Work, matrix_multiply
from causalign.benchmarks._row import Row
from causalign.search import Settings

_BATCH, _RANK, _GOAL = 512, 32, 0.6


def step(quick: bool) -> Iterator[Row]:
    """A MAS step on hidden states: two GRUs of 128 units, batch 512 x 4 directions, rank 32."""
    sites = _pair.sites()
    tokens = _pair.tokens_after(_pair.interventions(sites, 10_000))
    needed = _pair.step_operations(sites[0].network, len(_pair.DIRECTIONS) * _BATCH, tokens, _RANK)
    work, operations = matrix_multiply()
    taken, alignment = {}, {}
    for precision in ("float32", "bfloat16"):
        taken[precision], alignment[precision] = _timed(precision, 12 if quick else 40, work)
    for precision, ours in taken.items():
        rate = operations / ours["multiply"]
        yield Row(
            benchmark="step",
            case=f"{precision}, {needed / 1e9:.1f} GFLOP, {tokens:.1f} tokens a swap",
            ours=ours["ours"],
            unit="s",
            rival=f"float32 matrix multiplication at {rate / 1e9:.0f} GFLOP/s",
            theirs=needed / rate,
            ratio=needed / rate / ours["ours"],
            reads="share",
            goal=_GOAL if precision == "float32" else None,
            worst_iia=alignment[precision].worst_iia,
        )


def _timed(precision: str, steps: int, multiply: Work) -> tuple[Seconds, Alignment]:
    timer = Steps("search", {"multiply": multiply})
    settings = Settings(batch=_BATCH, grow=1, most_steps=steps, check_every=steps, precision=precision)
    alignment = align(_pair.sites(), rank=_RANK, settings=settings, progress=timer)
    return timer.medians(), alignment
