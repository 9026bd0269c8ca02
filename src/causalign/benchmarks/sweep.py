"""Sweeps, beside the same searches without the engine, and with two workers beside one."""

import warnings
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from causalign.alignment.align import align
from causalign.benchmarks.measurement import seconds
from causalign.benchmarks.row import Row
from causalign.errors import SearchWarning
from causalign.search.config import SearchConfig
from causalign.sites.uri import open_site
from causalign.sweep.sweep import sweep

_SITES = ("zoo:multi-object/gru/0@hidden", "zoo:multi-object/gru/1@hidden")
_STEPS, _POINTS = {True: 10, False: 150}, {True: 2, False: 6}


def sweeps(quick: bool) -> Iterator[Row]:
    """Yield the seconds of a sweep over seeds beside those of the bare alignments, and with two workers beside one."""
    search = SearchConfig(max_steps=_STEPS[quick], early_stopping=False)
    seeds = list(range(_POINTS[quick]))

    def bare() -> None:
        for seed in seeds:
            align([open_site(reference) for reference in _SITES], seed=seed, search=search)

    with TemporaryDirectory() as folder, warnings.catch_warnings(action="ignore", category=SearchWarning):

        def swept(workers: int) -> Any:
            return sweep(list(_SITES), {"seed": seeds}, out=Path(folder) / str(workers), search=search, workers=workers)

        bare_seconds = seconds(bare)
        taken = {workers: seconds(partial(swept, workers)) for workers in (1, 2)}
    case = f"{len(seeds)} points of {bare_seconds / len(seeds):.1f} s"
    yield Row(
        benchmark="sweep",
        case=case,
        ours=taken[1],
        unit="s",
        rival="the same alignments without the engine",
        theirs=bare_seconds,
        ratio=taken[1] / bare_seconds,
        reads="times",
        note="one worker; the engine also saves every point and stores its readings",
    )
    yield Row(
        benchmark="sweep",
        case=f"{case}, two workers",
        ours=taken[2],
        unit="s",
        rival="one worker",
        theirs=taken[1],
        ratio=taken[2] / taken[1],
        reads="times",
        note="each with half of the threads; the start of the processes is included",
    )
