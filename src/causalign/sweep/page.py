"""The page of a sweep: its matrices, its failures, and a link to the page of every point. It opens offline."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.colors import to_hex

from causalign.files import write_text
from causalign.report.page import PAGE as POINT_PAGE
from causalign.report.page import template, write_report
from causalign.sweep.folder import PAGE, SweepFolder
from causalign.sweep.grid import Coordinate
from causalign.sweep.heatmap import axis_labels, axis_title
from causalign.sweep.matrix import ScoreMatrix
from causalign.sweep.table import FAILED, FINISHED, SCORES, worst_directions

_SHOWN = {
    "iia": "IIA of the worst direction",
    "control_untrained": "Control: the first network untrained",
    "no_swap": "Baseline: nothing swapped, largest direction",
    "latent_distance": "Latent distance of the worst direction",
}
_DARK = 0.55  # the score below which a cell is dark


@dataclass(frozen=True, eq=False)
class SweepContent:
    """What the page of a sweep shows.

    Attributes:
        folder: The folder of the sweep.
        table: Its table.
        axes: The axes with more than one value.
        matrix: Returns a matrix of scores. Its arguments are those of `Sweep.matrix`.
    """

    folder: SweepFolder
    table: pd.DataFrame
    axes: Sequence[str]
    matrix: Callable[..., ScoreMatrix]


@dataclass(frozen=True)
class Cell:
    """A cell of a matrix on the page."""

    text: str
    note: str
    """What is shown while the pointer is over the cell."""
    color: str
    dark: bool
    link: str


@dataclass(frozen=True)
class MatrixView:
    """A matrix on the page."""

    title: str
    x: str
    y: str
    columns: Sequence[str]
    rows: Sequence[tuple[str, Sequence[Cell]]]


def write_sweep_report(sweep: SweepContent) -> Path:
    """Write the page of a sweep and of its finished points, and return the page's path.

    Raises:
        FileFormatError: The folder cannot be written, or a file of a point is broken.
    """
    table = sweep.table
    finished = list(dict.fromkeys(table.loc[table["status"] == FINISHED, "point"]))
    for point in finished:
        if not (sweep.folder.point(point) / POINT_PAGE).exists():
            write_report(sweep.folder.point(point))
    text = template("causalign.sweep", "page.html.j2").render(
        counts=Counter(table.drop_duplicates("point")["status"]),
        total=table["point"].nunique(),
        sections=list(_sections(sweep)) if finished else [],
        failures=table[table["status"] == FAILED].to_dict("records"),
        axes=sweep.axes,
        rows=_point_rows(table, sweep.axes),
    )
    write_text(sweep.folder.path / PAGE, text)
    return sweep.folder.path / PAGE


def _sections(sweep: SweepContent) -> Iterator[tuple[str, list[MatrixView]]]:
    """Yield the matrices of every combination of the axes that are neither rows, columns nor seeds."""
    whole = sweep.matrix(average=sweep.axes)
    others = [axis for axis in sweep.axes if axis not in (whole.x, whole.y, "seed")]
    values = [list(dict.fromkeys(sweep.table[axis].tolist())) for axis in others]
    for chosen in product(*values):
        where = dict(zip(others, chosen, strict=True))
        title = ", ".join(f"{axis.replace('_', ' ')} {value}" for axis, value in where.items())
        yield title, [_view(sweep, where, value) for value in _SHOWN if sweep.table[value].notna().any()]


def _view(sweep: SweepContent, where: Mapping[str, Coordinate], value: str) -> MatrixView:
    matrix = sweep.matrix(value=value, where=where)
    known = matrix.mean[~np.isnan(matrix.mean)]
    top = 1.0 if value != "latent_distance" else float(known.max(initial=1e-12))
    notes = _notes(sweep.table)
    columns = axis_labels(matrix.columns)
    rows = [
        (label, [_cell(matrix, (row, column), notes, top) for column in range(len(columns))])
        for row, label in enumerate(axis_labels(matrix.rows))
    ]
    return MatrixView(
        _SHOWN[value], axis_title(matrix.x, matrix.columns), axis_title(matrix.y, matrix.rows), columns, rows
    )


def _cell(matrix: ScoreMatrix, at: tuple[int, int], notes: Mapping[str, str], top: float) -> Cell:
    points = matrix.points.get(at, ())
    if not points:
        return Cell("", "no finished point", "#eeeeee", False, "")
    share = float(matrix.mean[at]) / top
    spread = "" if np.isnan(matrix.sd[at]) else f" ± {matrix.sd[at]:.2f}"
    head = f"{matrix.y} = {matrix.rows[at[0]]}\n{matrix.x} = {matrix.columns[at[1]]}"
    link = f"points/{points[0]}/{POINT_PAGE}" if len(points) == 1 else f"#{points[0]}"
    color = to_hex(colormaps["cividis"](share))
    return Cell(
        f"{matrix.mean[at]:.2f}{spread}",
        "\n".join([head, *(notes[point] for point in points)]),
        color,
        share < _DARK,
        link,
    )


def _notes(table: pd.DataFrame) -> dict[str, str]:
    """Return what is said of each finished point while the pointer is over its cell."""
    done = table[table["status"] == FINISHED]
    return {str(point): _note(rows) for point, rows in done.groupby("point", sort=False)}


def _note(rows: pd.DataFrame) -> str:
    first = rows.iloc[0]
    seed = f"seed {first['seed']}: " if "seed" in rows and pd.notna(first["seed"]) else ""
    if rows["iia"].notna().any():
        first = rows.iloc[int(rows["iia"].argmin())]
    parts = [
        f"{name.replace('_', ' ')} {first[name]:.3f}"
        for name in ("iia", "no_swap", *SCORES[5:], "latent_distance")
        if pd.notna(first[name])
    ]
    way = f"{first['source']} into {first['target']}"
    return f"{seed}{', '.join(parts)} ({way}; rank {first['found_rank']}, {first['steps']} steps, {first['ended']})"


def _point_rows(table: pd.DataFrame, axes: Sequence[str]) -> list[dict[str, Any]]:
    """Return a row of the page for each point: its coordinates, its worst direction, and the link to its page."""
    rows = []
    for row in worst_directions(table).to_dict("records"):
        scores = {name: None if pd.isna(row[name]) else float(row[name]) for name in (*SCORES, "latent_distance")}
        finished = row["status"] == FINISHED
        rows.append(
            {
                "point": row["point"],
                "coordinates": ["none" if row[axis] is None else row[axis] for axis in axes],
                **scores,
                "seconds": row["seconds"] if finished else None,
                "ended": row["ended"] if finished else row["status"],
                "link": f"points/{row['point']}/{POINT_PAGE}" if finished else "",
            }
        )
    return rows
