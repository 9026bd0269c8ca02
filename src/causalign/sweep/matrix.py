"""The matrix of a sweep: a score over two axes, each cell with its spread."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from causalign.errors import InvalidArgument, lookup
from causalign.sweep.grid import Coordinate

_AVERAGED = ("seed",)
_LARGEST = ("latent_distance", "no_swap")


@dataclass(frozen=True, eq=False)
class ScoreMatrix:
    """A score over two axes.

    Attributes:
        x: The axis of the columns.
        y: The axis of the rows.
        value: The column of the table.
        columns: The coordinates of the columns.
        rows: The coordinates of the rows.
        mean: The score of each cell, a mean over the points of the cell. NaN where there is none.
        sd: The standard deviation over the points of a cell. NaN where there are fewer than two.
        count: The number of points of each cell.
        points: The keys of the points of each cell, by row and column.
    """

    x: str
    y: str
    value: str
    columns: tuple[Coordinate, ...]
    rows: tuple[Coordinate, ...]
    mean: Float[np.ndarray, "rows columns"]
    sd: Float[np.ndarray, "rows columns"]
    count: Int[np.ndarray, "rows columns"]
    points: Mapping[tuple[int, int], tuple[str, ...]]


def score_matrix(
    table: pd.DataFrame,
    axes: Sequence[str],
    x: str,
    y: str,
    value: str = "iia",
    *,
    where: Mapping[str, Coordinate] | None = None,
    average: Sequence[str] = _AVERAGED,
) -> ScoreMatrix:
    """Return the matrix of a score: of the worst direction of each point, averaged over the points of a cell.

    The least score of a point is its worst. Of the baseline and of latent distances it is the largest.

    Args:
        table: The table of the sweep.
        axes: The names of its axes.
        x: The axis of the columns.
        y: The axis of the rows.
        value: The column of the score.
        where: The coordinates on other axes, or the source, target or variable, to which the table is restricted.
        average: The axes over which cells are averaged.

    Raises:
        InvalidArgument: There is no such axis or column, no point is left, or a cell has points that differ on an axis
            over which is not averaged.
    """
    for axis in (x, y):
        lookup("axis of the sweep", axis, dict.fromkeys(axes))
    if x == y:
        raise InvalidArgument(f"x and y are both {x}: name two axes")
    lookup("column of the sweep's table", value, dict.fromkeys(table.columns))
    chosen = _restricted(table, where or {})
    _require_one_cell_each(chosen, [axis for axis in axes if axis not in (x, y)], average)
    known = chosen[chosen[value].notna()]
    worst = "max" if value in _LARGEST else "min"
    of_points = known.groupby(["point"], sort=False).agg({x: "first", y: "first", value: worst}).reset_index()
    columns, rows = (tuple(dict.fromkeys(chosen[axis].tolist())) for axis in (x, y))
    shape = (len(rows), len(columns))
    mean, sd, count = np.full(shape, np.nan), np.full(shape, np.nan), np.zeros(shape, dtype=np.int64)
    points: dict[tuple[int, int], tuple[str, ...]] = {}
    for (row, column), cell in of_points.groupby([y, x], sort=False, dropna=False):
        at = rows.index(row), columns.index(column)
        values = cell[value].to_numpy(dtype=np.float64)
        mean[at], count[at], points[at] = values.mean(), len(values), tuple(cell["point"])
        sd[at] = values.std(ddof=1) if len(values) > 1 else np.nan
    return ScoreMatrix(x, y, value, columns, rows, mean, sd, count, points)


def _restricted(table: pd.DataFrame, where: Mapping[str, Coordinate]) -> pd.DataFrame:
    for name, wanted in where.items():
        lookup("column of the sweep's table", name, dict.fromkeys(table.columns))
        kept = table[table[name] == wanted]
        if not len(kept):
            there = ", ".join(map(str, dict.fromkeys(table[name].dropna())))
            raise InvalidArgument(f"no point of the sweep has {name} = {wanted!r}; there are {there}")
        table = kept
    return table


def _require_one_cell_each(table: pd.DataFrame, others: Sequence[str], average: Sequence[str]) -> None:
    """Check that the points of a cell differ only on axes over which is averaged."""
    for axis in others:
        values = list(dict.fromkeys(table[axis].tolist()))
        if len(values) > 1 and axis not in average:
            raise InvalidArgument(
                f"the points of a cell differ in {axis} ({', '.join(map(str, values[:6]))}): choose one with "
                f"where={{{axis!r}: {values[0]!r}}}, or average over it with average=[{axis!r}]"
            )
