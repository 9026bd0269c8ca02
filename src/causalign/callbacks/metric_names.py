"""The names and values that trackers log, made from progress updates, scores and configurations."""

import re
from collections.abc import Mapping
from typing import Any

from causalign.callbacks.update import ProgressUpdate


def metric_name(*parts: str) -> str:
    """Return a name of letters, digits, `_`, `-`, `.` and `/`, which every tracker takes: `search/worst_IIA`."""
    return "/".join(re.sub(r"[^\w.\-/]+", "_", part).strip("_") for part in parts)


def metrics_of(update: ProgressUpdate) -> dict[str, float]:
    """Return the figures of an update by the names of their metrics: `search/loss`, `search/worst_IIA`."""
    return {metric_name(update.stage, name): value for name, value in update.figures.items()}


def final_metrics(figures: Mapping[str, float]) -> dict[str, float]:
    """Return final scores by the names of their metrics: `final/worst_IIA`."""
    return {metric_name("final", name): value for name, value in figures.items()}


def parameters_of(configuration: Mapping[str, Any], before: str = "") -> dict[str, str]:
    """Return a nested configuration as text by dotted names: `search.max_steps`."""
    flat = dict[str, str]()
    for name, value in configuration.items():
        flat |= parameters_of(value, f"{before}{name}.") if isinstance(value, Mapping) else {before + name: str(value)}
    return flat
