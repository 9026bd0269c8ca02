"""Weights & Biases."""

from collections.abc import Mapping
from typing import Any

from causalign.callbacks.metric_names import final_metrics, metric_name, metrics_of
from causalign.callbacks.tracker import Tracker, require_installed
from causalign.callbacks.update import ProgressUpdate


class WandbTracker(Tracker):
    """Logs each run to Weights & Biases: its configuration, the figures of every step, and the scores in its summary.

    Figures are shown over the steps of their own stage. A run that an exception ended is marked as failed.

    Args:
        project: The name of the project.
        **options: Further arguments of `wandb.init`, such as `mode="offline"`, `dir`, `name` or `group`.

    Raises:
        MissingDependency: wandb is not installed.
    """

    def __init__(self, project: str = "causalign", **options: Any) -> None:
        require_installed("wandb", "wandb")
        self._options = {"project": project} | options

    def start(self, configuration: Mapping[str, Any]) -> None:
        """Begin a run of W&B."""
        import wandb

        self._run = wandb.init(config=dict(configuration), **self._options)
        self._stages = set[str]()

    def __call__(self, update: ProgressUpdate) -> None:
        """Log the figures of an update, if it has some."""
        step = metric_name(update.stage, "step")
        if update.figures and update.stage not in self._stages:
            self._stages.add(update.stage)
            self._run.define_metric(f"{metric_name(update.stage)}/*", step_metric=step)
        if update.figures:
            self._run.log(metrics_of(update) | {step: update.step})

    def finish(self, figures: Mapping[str, float], stopped: str) -> None:
        """Write the scores into the summary, and end the run."""
        self._run.summary.update(final_metrics(figures) | {"stopped": stopped})
        self._run.finish(exit_code=0 if figures else 1)
