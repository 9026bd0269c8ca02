"""TensorBoard."""

import json
from collections.abc import Mapping
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

from causalign.callbacks.metric_names import final_metrics, metrics_of
from causalign.callbacks.tracker import Tracker, require_installed
from causalign.callbacks.update import ProgressUpdate


class TensorBoardTracker(Tracker):
    """Writes the event files of each run into a folder of its own: `FOLDER/run-1`, `FOLDER/run-2`, ...

    Figures and scores are scalars; the configuration, and why the run stopped, are texts.

    Args:
        folder: The folder of the runs, the `--logdir` of TensorBoard.

    Raises:
        MissingDependency: tensorboard is not installed.
    """

    def __init__(self, folder: Path | str = "runs/tensorboard") -> None:
        require_installed("tensorboard", "tensorboard")
        self._folder = Path(folder)

    def start(self, configuration: Mapping[str, Any]) -> None:
        """Open the event file of a new run, and write the configuration."""
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(self._new_folder())
        self._writer.add_text("configuration", f"```json\n{json.dumps(dict(configuration), indent=2)}\n```")

    def __call__(self, update: ProgressUpdate) -> None:
        """Write the figures of an update."""
        self._scalars(metrics_of(update), update.step)

    def finish(self, figures: Mapping[str, float], stopped: str) -> None:
        """Write the scores, and close the file."""
        self._scalars(final_metrics(figures), 0)
        self._writer.add_text("stopped", stopped)
        self._writer.close()

    def _new_folder(self) -> Path:
        """Make the folder of a run. No other process makes the same."""
        for number in count(1):
            with suppress(FileExistsError):
                (folder := self._folder / f"run-{number}").mkdir(parents=True)
                break
        return folder

    def _scalars(self, metrics: Mapping[str, float], step: int) -> None:
        for name, value in metrics.items():
            self._writer.add_scalar(name, value, step)
