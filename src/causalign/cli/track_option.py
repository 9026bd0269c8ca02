"""The option that names experiment trackers."""

from collections.abc import Sequence
from typing import Annotated

import typer

from causalign.callbacks import Tracker, tracker_of

Track = Annotated[
    list[str] | None,
    typer.Option(
        help="An experiment tracker to log to: wandb[:PROJECT], mlflow[:URI] or tensorboard[:FOLDER]. Repeat the "
        "option for several."
    ),
]


def trackers(references: Sequence[str] | None) -> list[Tracker]:
    """Return the trackers that the option `--track` names.

    Raises:
        InvalidArgument: There is no such tracker.
        MissingDependency: Its package is not installed.
    """
    return [tracker_of(reference) for reference in references or ()]
