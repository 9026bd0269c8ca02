"""A row of the performance table, and the file of all rows."""

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
    """What a benchmark needs is not installed."""


class Row(BaseModel):
    """One figure of ours beside another that was measured in the same run."""

    model_config = ConfigDict(frozen=True)

    benchmark: str
    case: str
    ours: float
    unit: str
    rival: str
    """What stands beside it."""
    theirs: float
    """In the same unit."""
    ratio: float
    """How many times better ours is, or which share of the rival's rate; of growth, how many times more it is."""
    reads: Literal["share", "times"]
    goal: float | None = None
    """The least ratio that is asked for."""
    worst_iia: float | None = None
    """Of the alignment that was timed, on held-out interventions."""
    note: str = ""


def save_rows(rows: Sequence[Row], threads: int, path: Path) -> None:
    """Write the rows, and what they were measured on, as JSON.

    Raises:
        CausalignError: it cannot be written.
    """
    versions = {"causalign": __version__, "torch": torch.__version__, "python": platform.python_version()}
    machine = {"processor": torch.backends.cpu.get_cpu_capability(), "cores": os.cpu_count(), "threads": threads}
    table = {"machine": machine, "versions": versions, "rows": [row.model_dump() for row in rows]}
    write_text(path, json.dumps(table, indent=1))
