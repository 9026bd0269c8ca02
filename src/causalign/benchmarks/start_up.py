"""CPU time until something can be done: imports and the overview of commands, beside `import torch`."""

import resource
import subprocess
import sys
from collections.abc import Iterator
from statistics import median

from causalign.benchmarks.row import Row

_OVERVIEW = "import sys; sys.argv = ['causalign', '--help']; from causalign.cli import main; main()"
_CASES = {
    "import causalign": ("import causalign", 1 / 1.3),
    "import causalign, and look align up": ("import causalign; causalign.align", None),
    "causalign --help": (_OVERVIEW, None),
}
"""The code of each case, and the ratio that is aimed for."""


def start_up(quick: bool) -> Iterator[Row]:
    """Compare imports and the overview of commands with `import torch`, in fresh processes that run in turn."""
    codes = {"torch": "import torch"} | {name: code for name, (code, _) in _CASES.items()}
    taken: dict[str, list[float]] = {name: [] for name in codes}
    for _ in range(3 if quick else 9):
        for name, code in codes.items():
            taken[name].append(_cpu_seconds(code))
    medians = {name: median(each) for name, each in taken.items()}
    for name, (_, goal) in _CASES.items():
        yield Row(
            benchmark="start-up",
            case=name,
            ours=medians[name],
            unit="CPU s",
            rival="import torch",
            theirs=medians["torch"],
            ratio=medians["torch"] / medians[name],
            reads="times",
            goal=goal,
        )


def _cpu_seconds(code: str) -> float:
    """The CPU seconds of a fresh Python process that runs some code."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
