"""How time and memory grow with what is asked for, each case in a process of its own."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

from causalign.alignment.align import align
from causalign.benchmarks.measurement import Steps, in_child
from causalign.benchmarks.row import Row
from causalign.networks.checkpoint import build
from causalign.search.config import SearchConfig
from causalign.storage import DEFAULT_BUDGET
from causalign.tasks.counting import MultiObject


@dataclass(frozen=True)
class Case:
    """An alignment of untrained GRUs, which cost what trained ones do."""

    rank: int = 16
    width: int = 128
    networks: int = 2
    longest: int = 20
    """The most objects a trial shows: what follows a swap grows with it."""
    interventions: int = 10_000
    memory: float = DEFAULT_BUDGET
    """GiB of tables that are not in files."""
    batch: int = 128


_VALUES: dict[str, tuple[list[int], list[int]]] = {
    "rank": ([2, 128], [2, 8, 32, 128]),
    "networks": ([2, 4], [2, 4, 8, 16]),
    "longest": ([10, 40], [10, 20, 40, 80]),
    "interventions": ([1_000, 100_000], [1_000, 10_000, 100_000, 1_000_000]),
    "width": ([64, 512], [64, 256, 1024, 4096]),
}
"""What is varied, quickly and in full."""


def growth(quick: bool) -> Iterator[Row]:
    """Seconds a step and peak memory against rank, width, networks, length, interventions, and the memory allowed."""
    many = replace(Case(), interventions=_VALUES["interventions"][0 if quick else 1][-1])
    yield from _rows("memory", [many, replace(many, memory=0.1)], quick)
    for name, values in _VALUES.items():
        usual = Case(interventions=250, batch=32) if name == "width" else Case()  # wide ones take minutes otherwise
        cases = [replace(usual, **{name: value}) for value in values[0 if quick else 1]]
        yield from _rows(name, cases, quick)


def _rows(name: str, cases: list[Case], quick: bool) -> Iterator[Row]:
    """Each case beside the one before it."""
    measured = [(getattr(case, name), *in_child(_measure, case, 5 if quick else 8)) for case in cases]
    for (before, less, held), (value, taken, memory) in pairwise(measured):
        yield Row(
            benchmark="growth",
            case=f"{name} {before:,} -> {value:,}",
            ours=taken,
            unit="s/step",
            rival=f"{name} {before:,}",
            theirs=less,
            ratio=taken / less,
            reads="times",
            note=f"{held:.2f} -> {memory:.2f} GiB at peak",
        )


def _measure(case: Case, steps: int) -> float:
    """The median seconds of a step."""
    task = type("Counting", (MultiObject,), {"largest": case.longest})()
    sites = [build(task, "gru", seed, width=case.width).site("hidden") for seed in range(case.networks)]
    timer = Steps("search", {})
    settings = SearchConfig(batch_size=case.batch, initial_batch_size=case.batch, max_steps=steps, eval_every=steps)
    align(
        sites,
        rank=case.rank,
        n_train=case.interventions,
        n_validation=100,
        n_test=100,
        memory=case.memory,
        search=settings,
        callbacks=[timer],
    )
    return timer.medians()["ours"]
