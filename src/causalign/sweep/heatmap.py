"""The heat map of a sweep."""

from collections.abc import Sequence
from pathlib import PurePath

import numpy as np

from causalign.alignment.figures import ShownFigure
from causalign.sweep.grid import Coordinate
from causalign.sweep.matrix import ScoreMatrix

_LABELS = {
    "iia": "IIA of the worst direction",
    "no_swap": "largest baseline (no swap)",
    "complement": "complement within one network",
    "control_untrained": "IIA with the first network untrained",
    "control_shuffled": "IIA with shuffled counterfactuals",
    "control_random": "IIA of random subspaces",
}
_DARK = 0.55  # the share of the scale below which a cell is dark
_LEVEL = 6  # columns whose labels fit beside each other
_MOST = 400  # cells whose numbers are legible


def axis_labels(values: Sequence[Coordinate]) -> list[str]:
    """Return short labels of coordinates: of sites of one network their places, and otherwise network and place."""
    texts = ["none" if value is None else str(value) for value in values]
    parts = [text.rpartition("@") for text in texts]
    if len({network for network, at, _ in parts if at}) == 1 and all(at for _, at, _ in parts):
        return [place for _, _, place in parts]
    return [
        text if not at else f"{'/'.join(PurePath(network).parts[-2:])}@{place}"
        for text, (network, at, place) in zip(texts, parts, strict=True)
    ]


def axis_title(name: str, values: Sequence[Coordinate]) -> str:
    """Return the title of an axis: its name and, of the sites of one network, the network."""
    networks = {str(value).rpartition("@")[0] for value in values}
    if not name.startswith("site_") or len(networks) != 1:
        return name.replace("_", " ")
    network = networks.pop()
    return f"{name.replace('_', ' ')}: {network if network.startswith('zoo:') else PurePath(network).name}"


def heatmap(matrix: ScoreMatrix) -> ShownFigure:
    """Draw a matrix of scores: each cell with its mean and, of several points, one standard deviation.

    Args:
        matrix: The matrix.
    """
    rows, columns = matrix.mean.shape
    figure = ShownFigure(figsize=(2.6 + 0.78 * columns, 1.7 + 0.62 * rows), layout="constrained")
    axes = figure.add_subplot()
    is_score = matrix.value != "latent_distance" and bool(np.nanmax(matrix.mean, initial=0.0) <= 1)
    known = matrix.mean[~np.isnan(matrix.mean)]
    low, high = (0.0, 1.0) if is_score else (float(known.min(initial=0.0)), float(known.max(initial=1e-12)))
    image = axes.imshow(matrix.mean, cmap="cividis", aspect="auto", vmin=low, vmax=high)
    if rows * columns <= _MOST:
        for row, column in np.ndindex(rows, columns):
            mean = float(matrix.mean[row, column])
            spread = matrix.sd[row, column]
            text = "" if np.isnan(mean) else f"{mean:.2f}" + ("" if np.isnan(spread) else f"\n±{spread:.2f}")
            dark = mean - low < _DARK * (high - low)
            axes.text(column, row, text, ha="center", va="center", fontsize=8, color="white" if dark else "black")
    axes.set_xticks(range(columns), axis_labels(matrix.columns), fontsize=8)
    if columns > _LEVEL:
        axes.tick_params(axis="x", labelrotation=90)
    axes.set_yticks(range(rows), axis_labels(matrix.rows), fontsize=8)
    axes.set_xlabel(axis_title(matrix.x, matrix.columns))
    axes.set_ylabel(axis_title(matrix.y, matrix.rows))
    figure.colorbar(image, ax=axes, shrink=0.9).set_label(_LABELS.get(matrix.value, matrix.value.replace("_", " ")))
    return figure
