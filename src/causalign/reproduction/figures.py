"""The panels of the paper's figures, drawn from the table alone."""

from collections.abc import Sequence
from textwrap import fill
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from causalign.reproduction.study import Panel

# Okabe and Ito's colors. In this order neighbors differ in lightness as well.
_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#56B4E9", "#CC79A7")
_CONTROLS = {
    "control_untrained": "untrained",
    "control_shuffled": "shuffled",
    "control_random": "random subspaces",
}
_REACHED = "reached by a control"
_SAME = "score in the directions of 'untrained'"
_OTHER = 0.01  # least difference at which the score in the directions of the untrained control is drawn
_BASELINE = "baseline (no swap)"
_EACH = "single pair, or network"
_DOT: dict[str, Any] = {"color": "white", "edgecolors": "black", "s": 14, "linewidths": 0.8}
_MARKS = "xv+"
_GREYS = ("#4D4D4D", "#8C8C8C", "#C2C2C2")
_LONGEST = 18  # characters in a line of a label
_FEWEST = 6.0  # bars that a panel has room for at least, so that a single bar is not too wide


def draw(panel: Panel, rows: pd.DataFrame) -> Figure:
    """Draw one panel.

    Args:
        panel: The panel.
        rows: The rows of its study in the table. Those of other panels, and those without a value, are not drawn.
    """
    rows = rows[(rows["panel"] == panel.name) & rows["ours"].notna()]
    return _lines(panel, rows) if panel.lines else _bars(panel, rows)


def _bars(panel: Panel, rows: pd.DataFrame) -> Figure:
    """Draw a group of bars for each comparison (or site), in a color for each metric, with its controls in gray."""
    groups, metrics = _kinds(rows, panel.groups), _kinds(rows, "metric")
    slots = max(sum(_slots(row) for row in _of(rows, panel.groups, group)) for group in groups) + 1
    figure = Figure(figsize=(max(4.6, 1.6 + 0.34 * slots * len(groups)), 4.2), layout="constrained")
    axes = figure.add_subplot()
    centres = []
    for index, group in enumerate(groups):
        first = at = float(index * slots)
        for row in _of(rows, panel.groups, group):
            at = _bar(axes, row, at, _COLOURS[metrics.index(row["metric"]) % len(_COLOURS)])
        centres.append((first + at - 1) / 2)
    lone = max(0.0, _FEWEST - slots * len(groups)) / 2
    axes.set_xlim(-1 - lone, len(groups) * slots - 1 + lone)
    axes.set_xticks(centres, [_label(group) for group in groups], fontsize=9)
    axes.set_xlabel(panel.axis)
    _finish(figure, axes, panel.title, rows)
    return figure


def _bar(axes: Axes, row: pd.Series, at: float, colour: str) -> float:
    """Draw the bar of one row with its controls, baseline and the paper's number. Return the place of the next bar."""
    here = at
    error = None if np.isnan(row["sem"]) else [row["sem"]]
    axes.bar(at, row["ours"], 0.9, color=colour, yerr=error, capsize=3, label=row["metric"])
    if row["reached"]:
        axes.bar(at, row["ours"], 0.9, color="none", hatch="//", edgecolor="white", label=_REACHED)
    each = _pairs(row)
    apart = np.linspace(-0.25, 0.25, len(each)) if len(each) > 1 else [0.0]
    axes.scatter(at + np.array(apart), each, zorder=3, label=_EACH, **_DOT)
    at += 1
    for (name, label), grey in zip(_CONTROLS.items(), _GREYS, strict=True):
        if name in row and not np.isnan(row[name]):
            axes.bar(at - 0.2, row[name], 0.45, color=grey, label=f"control: {label}")
            if name == "control_untrained" and abs(row["ours_into_others"] - row["ours"]) > _OTHER:
                axes.hlines(row["ours_into_others"], at - 0.55, at + 0.15, color=colour, linewidth=2.5, label=_SAME)
            at += 0.5
    if pd.notna(row["no_swap"]):
        axes.hlines(row["no_swap"], here - 0.6, at - 0.45, color="black", linewidth=1, label=_BASELINE)
    if pd.notna(row["paper"]):
        label, line = ("lower bound in the paper", "--") if row["relation"] == ">" else ("value in the paper", ":")
        axes.hlines(row["paper"], here - 0.6, at - 0.45, color="black", linestyle=line, label=label)
    return at


def _pairs(row: pd.Series) -> Float[np.ndarray, " pairs"]:
    """Return the value of each pair of networks in a row."""
    return np.array(row["pairs"].split(), dtype=float)


def _slots(row: pd.Series) -> float:
    return 1 + 0.5 * sum(name in row and not np.isnan(row[name]) for name in _CONTROLS)


def _lines(panel: Panel, rows: pd.DataFrame) -> Figure:
    """Draw a line for each metric over numbers, with its controls as points."""
    figure = Figure(figsize=(5.6, 4.2), layout="constrained")
    axes = figure.add_subplot()
    for index, metric in enumerate(_kinds(rows, "metric")):
        of = rows[rows["metric"] == metric]
        where = of["comparison"].astype(int).to_numpy() * 1.03 ** (index - 1)  # error bars stand side by side
        colour = _COLOURS[index % len(_COLOURS)]
        axes.errorbar(
            where, of["ours"], of["sem"].fillna(0), color=colour, marker="os^D"[index % 4], capsize=3, label=metric
        )
        for name, marker in zip(_CONTROLS, _MARKS, strict=True):
            if name in of:
                axes.scatter(where, of[name], color=colour, marker=marker, zorder=3, clip_on=False)
        axes.plot(where, of["no_swap"], color=colour, linestyle=":")
    for (name, label), marker in zip(_CONTROLS.items(), _MARKS, strict=True):
        if name in rows and rows[name].notna().any():
            axes.scatter([], [], color=_GREYS[0], marker=marker, label=f"control: {label}")
    axes.plot([], [], color=_GREYS[0], linestyle=":", label=_BASELINE)
    axes.set_xscale("log", base=2)
    ranks = sorted(rows["comparison"].astype(int).unique())
    axes.set_xticks(ranks, [str(rank) for rank in ranks])
    axes.minorticks_off()
    axes.set_xlabel(panel.axis)
    _finish(figure, axes, panel.title, rows)
    return figure


def _finish(figure: Figure, axes: Axes, title: str, rows: pd.DataFrame) -> None:
    axes.set_ylim(0, 1.04)
    what = "IIA" if rows["steps"].notna().all() else "IIA, or correlation"
    axes.set_ylabel(f"{what} (standard error)")
    axes.set_title(title)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", alpha=0.3)
    axes.set_axisbelow(True)
    handles, labels = axes.get_legend_handles_labels()
    once = dict(zip(labels, handles, strict=True))
    if _REACHED in once:
        once[_REACHED] = Patch(facecolor=_GREYS[1], edgecolor="white", hatch="//")  # stands for all colors
    if _SAME in once:
        once[_SAME] = Line2D([], [], color=_GREYS[1], linewidth=2.5)  # stands for all colors
    once |= {label: once.pop(label) for label in (_REACHED, _SAME, _EACH) if label in once}  # move to the end
    figure.legend(
        once.values(), once.keys(), loc="outside lower center", ncols=min(3, len(once)), frameon=False, fontsize=8
    )


def _kinds(rows: pd.DataFrame, column: str) -> list[str]:
    return list(dict.fromkeys(rows[column]))


def _of(rows: pd.DataFrame, column: str, value: str) -> Sequence[pd.Series]:
    return [row for _, row in rows[rows[column] == value].iterrows()]


def _label(name: str) -> str:
    """Return a name broken into short lines: before a second network or a site, and between words."""
    lines = name.replace(" x ", "\nx ").replace(", ", ",\n").replace("/", "/\n").replace("[", "\n[").split("\n")
    return "\n".join(fill(line, _LONGEST) for line in lines)
