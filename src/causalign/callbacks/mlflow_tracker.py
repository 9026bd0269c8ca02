"""MLflow."""

import time
from collections.abc import Mapping
from typing import Any

from causalign.callbacks.metric_names import final_metrics, metrics_of, parameters_of
from causalign.callbacks.tracker import Tracker, require_installed
from causalign.callbacks.update import ProgressUpdate

_LONGEST = 500  # characters of a parameter's value that every store takes


class MLflowTracker(Tracker):
    """Logs each run to MLflow: its configuration as parameters, the figures of steps and the scores as metrics.

    It works through a client of its own: MLflow's global state, such as an active run, is neither read nor changed.

    Args:
        uri: The URI of the tracking server or the store, such as `sqlite:///mlflow.db`. By default that of MLflow.
        experiment: The name of the experiment. It is made if there is none.
        every: Steps between the steps of a stage that are logged, as a remote store takes long. The first and the last
            always are.

    Raises:
        MissingDependency: mlflow is not installed.
    """

    def __init__(self, uri: str | None = None, experiment: str = "causalign", *, every: int = 10) -> None:
        require_installed("mlflow", "mlflow")
        self._uri, self._experiment, self._every = uri, experiment, every

    def start(self, configuration: Mapping[str, Any]) -> None:
        """Begin a run of MLflow."""
        from mlflow import MlflowClient
        from mlflow.entities import Param

        self._client = MlflowClient(tracking_uri=self._uri)
        known = self._client.get_experiment_by_name(self._experiment)
        experiment = known.experiment_id if known else self._client.create_experiment(self._experiment)
        self._run = self._client.create_run(experiment).info.run_id
        parameters = parameters_of(configuration).items()
        self._client.log_batch(self._run, params=[Param(name, value[:_LONGEST]) for name, value in parameters])

    def __call__(self, update: ProgressUpdate) -> None:
        """Log the figures of an update, if it has some."""
        if update.figures and (update.finished or update.step % self._every == 0 or update.step == 1):
            self._log(metrics_of(update), update.step)

    def finish(self, figures: Mapping[str, float], stopped: str) -> None:
        """Log the scores and the tag `stopped`, and end the run."""
        self._log(final_metrics(figures), 0)
        self._client.set_tag(self._run, "stopped", stopped)
        self._client.set_terminated(self._run, "FINISHED" if figures else "FAILED")

    def _log(self, metrics: Mapping[str, float], step: int) -> None:
        from mlflow.entities import Metric

        now = int(1000 * time.time())
        self._client.log_batch(self._run, metrics=[Metric(name, value, now, step) for name, value in metrics.items()])
