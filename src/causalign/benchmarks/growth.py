"""The growth of time and memory with the size of an alignment. Each case runs in a process of its own."""

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
    """The size of an alignment of untrained GRUs, which take as long as trained ones."""

    rank: int = 16
    width: int = 128
    networks: int = 2
    longest: int = 20
    """The largest number of objects in a trial. The number of tokens after a swap grows with it."""
    interventions: int = 10_000
    """Training rows of each direction."""
    memory: float = DEFAULT_BUDGET
    """GiB of tables in memory. The rest is in files."""
    batch: int = 128
    """Rows of each direction in a step."""


_VALUES: dict[str, tuple[list[int], list[int]]] = {
    "rank": ([2, 128], [2, 8, 32, 128]),
    "networks": ([2, 4], [2, 4, 8, 16]),
    "longest": ([10, 40], [10, 20, 40, 80]),
    "interventions": ([1_000, 100_000], [1_000, 10_000, 100_000, 1_000_000]),
    "width": ([64, 512], [64, 256, 1024, 4096]),
}
"""The values of each varied field: those of a quick run, then those of a full one."""


def growth(quick: bool) -> Iterator[Row]:
    """Yield seconds per step and peak memory for growing rank, width, networks, length, rows and memory budget."""
    many = replace(Case(), interventions=_VALUES["interventions"][0 if quick else 1][-1])
    yield from _rows("memory", [many, replace(many, memory=0.1)], quick)
    for name, values in _VALUES.items():
        usual = Case(interventions=250, batch=32) if name == "width" else Case()  # wide networks would take minutes
        cases = [replace(usual, **{name: value}) for value in values[0 if quick else 1]]
        yield from _rows(name, cases, quick)


def _rows(name: str, cases: list[Case], quick: bool) -> Iterator[Row]:
    """Measure the cases, and yield each of them beside the one before it."""
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
    """Return the median seconds of a step."""
    task = type("Counting", (MultiObject,), {"largest": case.longest})()
    sites = [build(task, "gru", seed, width=case.width).site("hidden") for seed in range(case.networks)]
    timer = Steps("search", {})
    config = SearchConfig(batch_size=case.batch, initial_batch_size=case.batch, max_steps=steps, eval_every=steps)
    align(
        sites,
        rank=case.rank,
        n_train=case.interventions,
        n_validation=100,
        n_test=100,
        memory=case.memory,
        search=config,
        callbacks=[timer],
    )
    return timer.medians()["ours"]
