"""The share of the machine's rate that a step of the search reaches.

The reference is the time for the step's operations at the rate of a matrix multiplication.
"""

from collections.abc import Iterator

import torch

from causalign.alignment.align import align
from causalign.benchmarks import network_pair as _pair
from causalign.benchmarks.measurement import Steps, matrix_multiply
from causalign.benchmarks.row import Row
from causalign.search.config import SearchConfig

_BATCH, _RANK, _GOAL = 512, 32, 0.6


def step(quick: bool) -> Iterator[Row]:
    """Yield the seconds of a MAS step on the hidden states of two GRUs of 128 units.

    A step takes 512 rows of each of 4 directions, at rank 32. It is measured on a GPU too, if there is one.
    """
    for device in ("cpu", *(["cuda"] if torch.cuda.is_available() else [])):
        for precision in ("float32", "bfloat16"):
            yield _row(device, precision, 12 if quick else 40)


def _row(device: str, precision: str, steps: int) -> Row:
    multiply, operations = matrix_multiply(device)
    timer, sites = Steps("search", {"multiply": multiply}), _pair.sites(device)
    config = SearchConfig(
        batch_size=_BATCH, initial_batch_size=_BATCH, max_steps=steps, eval_every=steps, precision=precision
    )
    alignment = align(sites, rank=_RANK, search=config, callbacks=[timer])
    tokens = _pair.tokens_after(_pair.interventions(sites, 10_000))
    needed = _pair.step_operations(sites[0].network, len(_pair.DIRECTIONS) * _BATCH, tokens, _RANK)
    taken = timer.medians()
    rate = operations / taken["multiply"]
    return Row(
        benchmark="step",
        case=f"{device}, {precision}, {needed / 1e9:.1f} GFLOP, {tokens:.1f} tokens a swap",
        ours=taken["ours"],
        unit="s",
        rival=f"float32 matrix multiplication at {rate / 1e9:,.0f} GFLOP/s",
        theirs=needed / rate,
        ratio=needed / rate / taken["ours"],
        reads="share",
        goal=_GOAL if (device, precision) == ("cpu", "float32") else None,
        worst_iia=alignment.worst_iia,
    )
