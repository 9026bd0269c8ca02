"""The figure of a validation: the score of every drawn pair against the largest score that is possible."""

import pandas as pd
from matplotlib.figure import Figure

_COLORS = {True: "#1b7837", False: "#b2182b"}
_LABELS = {True: "can be interchanged", False: "cannot"}
_SPREAD = 0.012


def score_against_truth(pairs: pd.DataFrame) -> Figure:
    """Draw the worst IIA of each pair over its ceiling, and its controls in grey.

    Args:
        pairs: The table of drawn pairs at one setting. Pairs without a known ceiling are drawn over their score with
            nothing swapped.
    """
    figure = Figure(figsize=(5.2, 4.2), layout="constrained")
    axes = figure.add_subplot()
    axes.plot([0, 1], [0, 1], color="#999999", linewidth=1, zorder=0)
    at = pairs["ceiling"].fillna(pairs["no_swap"]) + (pairs["seed"] % 5 - 2) * _SPREAD
    controls = [name for name in pairs.columns if name.startswith("control_")]
    for name in controls:
        axes.scatter(at, pairs[name], s=10, color="#bbbbbb", label="controls" if name == controls[0] else None)
    for truth, color in _COLORS.items():
        some = pairs["interchangeable"] == truth
        axes.scatter(
            at[some], pairs.loc[some, "worst_iia"], s=26, color=color, label=_LABELS[truth], edgecolor="white", zorder=3
        )
    axes.set(
        xlabel="largest IIA that is possible",
        ylabel="IIA found, worst direction",
        xlim=(-0.05, 1.08),
        ylim=(-0.05, 1.05),
    )
    axes.legend(frameon=False, loc="upper left")
    axes.spines[["top", "right"]].set_visible(False)
    return figure
