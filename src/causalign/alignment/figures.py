"""The figures of an alignment. Each is saved as a PNG and drawn in the page."""

import io
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from causalign.scoring.worst_interval import worst_interval

# Okabe and Ito's colors, and the heat map's cividis, are distinguishable with every kind of color vision.
BLUE, ORANGE, GREY = "#0072B2", "#D55E00", "#7F7F7F"


class ShownFigure(Figure):
    """A figure that a notebook shows as a picture. Figures that are made without pyplot are else shown as text."""

    def _repr_png_(self) -> bytes:
        """The picture, for IPython."""
        picture = io.BytesIO()
        self.savefig(picture, format="png", dpi=100)
        return picture.getvalue()


_LONGEST = 24  # characters of a network's name that are shown


def iia_matrix(iia: pd.DataFrame, sites: Sequence[str]) -> ShownFigure:
    """Draw the IIA of every direction as a matrix, with its interval and its baseline; several variables side by side.

    The color scale carries the highest baseline. Rows are sources and columns are targets. Directions that were not
    scored are blank.

    Args:
        iia: The scores, as `Alignment.iia`.
        sites: The names of the sites, in the order of rows and columns.
    """
    of_direction = iia.groupby(["source", "target"]).cumcount()  # several variables have a line each
    parts = [iia[of_direction == variable] for variable in range(int(of_direction.max()) + 1)] if len(iia) else [iia]
    side = 2.6 + 1.15 * len(sites)
    figure = ShownFigure(figsize=(side * len(parts) + 0.9, side), layout="constrained")
    panels = figure.subplots(1, len(parts), squeeze=False)[0]
    for axes, part in zip(panels, parts, strict=True):
        image = _panel(axes, part, sites)
        axes.set_title("IIA of every direction" if len(parts) == 1 else f"IIA: {part['variable'].iloc[0]}")
    bar = figure.colorbar(image, ax=list(panels), shrink=0.8)
    bar.set_label("interchange intervention accuracy")
    if len(iia):
        _mark_baseline(bar.ax, float(iia["no_swap"].max()))
    return figure


def _mark_baseline(scale: Axes, baseline: float) -> None:
    """Mark on the color scale the highest score that is reached with nothing swapped."""
    scale.axhline(baseline, color=ORANGE, linewidth=2.5)
    scale.annotate(
        f"no swap\n{baseline:.3f}",
        (0, baseline),
        xytext=(-4, 0),
        textcoords="offset points",
        ha="right",
        va="center",
        fontsize=8,
        color=ORANGE,
    )


def _panel(axes: Axes, iia: pd.DataFrame, sites: Sequence[str]) -> AxesImage:
    """Draw the matrix of one variable."""
    matrix = np.full((len(sites), len(sites)), np.nan)
    notes = {}
    for row in iia.to_dict("records"):
        place = sites.index(row["source"]), sites.index(row["target"])
        matrix[place] = row["iia"]
        interval = f"[{row['ci_low']:.3f}, {row['ci_high']:.3f}]"
        notes[place] = f"{row['iia']:.3f}\n{interval}\nno swap {row['no_swap']:.3f}"
    image = axes.imshow(matrix, cmap="cividis", vmin=0, vmax=1)
    for (source, target), note in notes.items():
        dark = matrix[source, target] < 0.55
        axes.text(target, source, note, ha="center", va="center", fontsize=9, color="white" if dark else "black")
    labels = [_label(site) for site in sites]
    axes.set_xticks(range(len(sites)), labels, fontsize=8)
    axes.set_yticks(range(len(sites)), labels, fontsize=8)
    axes.set_xlabel("target (receives the state)")
    axes.set_ylabel("source (gives the state)")
    return image


def learning_curve(history: pd.DataFrame) -> ShownFigure:
    """Draw the IIA of the worst direction, and the mean over directions, at every evaluation.

    Where the validation loss selected the maps, draw that loss instead.

    Args:
        history: The evaluations, as `Alignment.history`.
    """
    if history["validation_loss"].notna().any():
        return _loss_curve(history)
    figure = ShownFigure(figsize=(5.6, 3.8), layout="constrained")
    axes = figure.add_subplot()
    axes.plot(history["step"], history["mean_iia"], color=ORANGE, linestyle="--", label="mean of directions")
    axes.plot(
        history["step"],
        history["worst_iia"],
        color=BLUE,
        marker="o",
        markersize=3,
        label="worst direction",
        clip_on=False,
    )
    axes.set_xlabel("step of the search (0: the start)")
    axes.set_ylabel("IIA on validation rows")
    axes.set_title("Learning curve")
    finish(axes)
    axes.legend(frameon=False, loc="lower right")
    return figure


def _loss_curve(history: pd.DataFrame) -> ShownFigure:
    """Draw the loss on the validation rows, which selects the maps where some target may not be run."""
    figure = ShownFigure(figsize=(5.6, 3.8), layout="constrained")
    axes = figure.add_subplot()
    axes.plot(history["step"], history["validation_loss"], color=BLUE, marker="o", markersize=3, clip_on=False)
    axes.set_xlabel("step of the search (0: the start)")
    axes.set_ylabel("loss on validation rows")
    axes.set_title("Learning curve")
    finish(axes, highest=1.09 * float(history["validation_loss"].max()))
    return figure


def similarity_bars(iia: pd.DataFrame, similarity: pd.DataFrame) -> ShownFigure:
    """Draw the IIA of the worst direction, with its baseline, beside the correlational measures of the same two sites.

    The bar of the IIA has the exact 95 % interval of the worst direction. Those of the measures have one standard
    deviation over draws of samples. Distances are not drawn.

    Args:
        iia: The scores, as `Alignment.iia`.
        similarity: The measures, as `compare` returns them.
    """
    worst = iia.nsmallest(1, "iia").iloc[0]
    shown = similarity[~similarity["measure"].str.contains("distance")]
    names = ["IIA\n(worst)", *(name.replace(" ", "\n") for name in shown["measure"])]
    values = [worst["iia"], *shown["value"]]
    low, high = worst_interval(iia["iia"].tolist(), iia["rows"].tolist())
    below = [worst["iia"] - low, *shown["sd"]]
    above = [high - worst["iia"], *shown["sd"]]
    figure = ShownFigure(figsize=(1.2 + 1.05 * len(names), 3.8), layout="constrained")
    axes = figure.add_subplot()
    colors = [BLUE, *[GREY] * len(shown)]
    bars = axes.bar(names, values, yerr=[below, above], color=colors, width=0.6, capsize=4)
    axes.bar_label(bars, [f"{value:.3f}" for value in values], padding=3, fontsize=9)
    axes.hlines(worst["no_swap"], -0.4, 0.4, color=ORANGE, linewidth=2.5, label="baseline (no swap)")
    figure.legend(loc="outside lower center", frameon=False, fontsize=9)
    axes.set_ylabel("score")
    axes.set_title("Causal (blue) and correlational (gray) similarity")
    finish(axes, lowest=min(value - error for value, error in zip(values, below, strict=True)))
    return figure


def _label(site: str) -> str:
    """Return a site's name on two lines, without the middle of a long path, which would squeeze the figure."""
    network, _, at = site.rpartition("@")
    short = network if len(network) <= _LONGEST else f"{network[: _LONGEST // 2 - 2]}…{network[-_LONGEST // 2 :]}"
    return f"{short}\n@{at}".replace("$", r"\$")


def finish(axes: Axes, lowest: float = 0.0, highest: float = 1.09) -> None:
    """Give axes of scores their limits and their grid."""
    axes.set_ylim(min(0.0, 1.1 * lowest), highest)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", alpha=0.3)
    axes.set_axisbelow(True)
