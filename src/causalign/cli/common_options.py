"""Options that several commands have."""

from pathlib import Path
from typing import Annotated

import typer

Out = Annotated[Path, typer.Option("--out", "-o", help="The folder to write the results to.")]
WorkerCount = Annotated[
    int | None,
    typer.Option(min=1, help="Number of processes. They share the processor's threads. By default one per core."),
]
Seed = Annotated[int, typer.Option(min=0, help="The seed of all random draws.")]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace an alignment, or the checkpoint of another one, in the folder.")
]
