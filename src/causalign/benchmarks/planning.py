"""What `plan` says, beside what then happens."""

import time
from collections.abc import Iterator

from causalign.alignment import align, plan
from causalign.benchmarks._measure import in_child
from causalign.benchmarks._row import Row
from causalign.networks import build, zoo
from causalign.search import Settings
from causalign.sites import Site

_STEPS = {True: 5, False: 20}


def planning(quick: bool) -> Iterator[Row]:
    """Seconds and memory of three sizes: two GRUs of the zoo, two of 512 units, and two transformers."""
    for name in ("gru", "wide gru", "transformer"):
        (expected, memory), _ = in_child(_planned, name, _STEPS[quick])
        taken, held = in_child(_aligned, name, _STEPS[quick])
        yield Row(
            benchmark="plan",
            case=f"{name}, {_STEPS[quick]} steps",
            ours=expected,
            unit="s",
            rival="what then happened",
            theirs=taken,
            ratio=expected / taken,
            reads="times",
            note=f"{memory:.2f} GiB expected at peak, {held:.2f} happened",
        )


def _sites(name: str) -> list[Site]:
    if name == "wide gru":
        return [build("multi-object", "gru", seed, width=512).site("hidden") for seed in range(2)]
    return [zoo.load(f"multi-object/{name}", seed).site("hidden") for seed in range(2)]


def _settings(steps: int) -> Settings:
    return Settings(most_steps=steps, patience=steps)


def _planned(name: str, steps: int) -> tuple[float, float]:
    expected = plan(_sites(name), settings=_settings(steps))
    return expected.seconds, expected.peak


def _aligned(name: str, steps: int) -> float:
    sites, began = _sites(name), time.perf_counter()
    align(sites, settings=_settings(steps))
    return time.perf_counter() - began
