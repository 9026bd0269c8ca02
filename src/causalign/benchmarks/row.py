"""The rows of the performance table, and the file that holds them."""

import json
import os
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict

from causalign.errors import CausalignError
from causalign.files import write_text
from causalign.version import __version__


class MissingError(CausalignError):
    """A package that a benchmark needs is not installed."""


class Row(BaseModel):
    """A measurement of this package, and one of a reference from the same run."""

    model_config = ConfigDict(frozen=True)

    benchmark: str
    """The name of the benchmark."""
    case: str
    """The size and kind of the work that was measured."""
    ours: float
    """The measurement of this package."""
    unit: str
    """The unit of both measurements."""
    rival: str
    """The reference."""
    theirs: float
    """The measurement of the reference."""
    ratio: float
    """How many times better `ours` is, or the share of the reference's rate that it reaches. In `growth`, how many
    times more it is, and in `estimate`, the estimate divided by the measurement."""
    reads: Literal["share", "times"]
    """Whether the ratio is printed as a share or as a multiple."""
    goal: float | None = None
    """The smallest ratio that is aimed for."""
    worst_iia: float | None = None
    """The worst IIA of the alignment that was timed, on held-out rows."""
    note: str = ""
    """Further figures."""


def save_rows(rows: Sequence[Row], threads: int, path: Path) -> None:
    """Write the rows, the machine and the versions as JSON.

    Raises:
        CausalignError: The file cannot be written.
    """
    versions = {"causalign": __version__, "torch": torch.__version__, "python": platform.python_version()}
    machine = {"processor": torch.backends.cpu.get_cpu_capability(), "cores": os.cpu_count(), "threads": threads}
    table = {"machine": machine, "versions": versions, "rows": [row.model_dump() for row in rows]}
    write_text(path, json.dumps(table, indent=1))
