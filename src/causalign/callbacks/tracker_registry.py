"""The trackers by name, as the command line names them."""

from collections.abc import Callable, Mapping

from causalign.callbacks.mlflow_tracker import MLflowTracker
from causalign.callbacks.tensorboard_tracker import TensorBoardTracker
from causalign.callbacks.tracker import Tracker
from causalign.callbacks.wandb_tracker import WandbTracker
from causalign.errors import lookup

TRACKERS: Mapping[str, Callable[..., Tracker]] = {
    "wandb": WandbTracker,
    "mlflow": MLflowTracker,
    "tensorboard": TensorBoardTracker,
}
"""The trackers by name. Each takes where it logs to as its first argument, and has a default."""


def tracker_of(reference: str) -> Tracker:
    """Return the tracker that a reference names: `wandb[:PROJECT]`, `mlflow[:URI]` or `tensorboard[:FOLDER]`.

    Raises:
        InvalidArgument: There is no tracker of that name.
        MissingDependency: Its package is not installed.
    """
    name, _, place = reference.partition(":")
    tracker = lookup("tracker", name, TRACKERS)
    return tracker(place) if place else tracker()
