"""Callbacks: how far a call is, in a terminal, a notebook, a log or an experiment tracker."""

from causalign.callbacks.callback_session import open_callbacks
from causalign.callbacks.log import LogTracker
from causalign.callbacks.mlflow_tracker import MLflowTracker
from causalign.callbacks.notebook_lines import notebook_lines
from causalign.callbacks.plain_lines import plain_lines
from causalign.callbacks.progress_bars import progress_bars
from causalign.callbacks.progress_display import progress_display
from causalign.callbacks.tensorboard_tracker import TensorBoardTracker
from causalign.callbacks.tracker import Tracker
from causalign.callbacks.tracker_registry import TRACKERS, tracker_of
from causalign.callbacks.update import Callback, ProgressUpdate, chain, silent
from causalign.callbacks.wandb_tracker import WandbTracker

__all__ = [
    "TRACKERS",
    "Callback",
    "LogTracker",
    "MLflowTracker",
    "ProgressUpdate",
    "TensorBoardTracker",
    "Tracker",
    "WandbTracker",
    "chain",
    "notebook_lines",
    "open_callbacks",
    "plain_lines",
    "progress_bars",
    "progress_display",
    "silent",
    "tracker_of",
]
