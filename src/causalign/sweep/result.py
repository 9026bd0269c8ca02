"""The result of a sweep, which is read from its folder."""

import html
from base64 import b64encode
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from causalign.alignment.figures import ShownFigure
from causalign.alignment.result import Alignment, load_alignment
from causalign.errors import InvalidArgument, lookup
from causalign.sweep.declaration import read_declaration
from causalign.sweep.folder import SweepFolder
from causalign.sweep.grid import Coordinate, site_axis
from causalign.sweep.heatmap import heatmap
from causalign.sweep.matrix import ScoreMatrix, score_matrix
from causalign.sweep.page import SweepContent, write_sweep_report
from causalign.sweep.table import FAILED, FINISHED, sweep_table, worst_directions


@dataclass(frozen=True, eq=False)
class Sweep:
    """Many alignments over a grid.

    Attributes:
        folder: The folder of the sweep.
        points: The coordinates of each point by key: the value of each axis. Sites are `site_1`, `site_2` and so on.
    """

    folder: SweepFolder
    points: Mapping[str, Mapping[str, Coordinate]]

    @cached_property
    def table(self) -> pd.DataFrame:
        """A row for each point and direction: its coordinates, IIA, interval, baseline, controls, steps and status.

        `sweep_table` lists the columns.
        """
        return sweep_table(self.folder, self.points)

    @cached_property
    def worst(self) -> pd.DataFrame:
        """A row for each point: that of its worst direction, with the least score of each control."""
        return worst_directions(self.table)

    @property
    def axes(self) -> list[str]:
        """The axes with more than one value or, if there is none, all."""
        names = list(dict.fromkeys(axis for coordinates in self.points.values() for axis in coordinates))
        values = {axis: {repr(each.get(axis)) for each in self.points.values()} for axis in names}
        return [axis for axis in names if len(values[axis]) > 1] or names

    @property
    def counts(self) -> Counter[str]:
        """The number of points by status: `finished`, `failed` and `not run`."""
        return Counter(self.table.drop_duplicates("point")["status"])

    @property
    def failures(self) -> pd.DataFrame:
        """The points that failed, with their coordinates and errors."""
        failed = self.table[self.table["status"] == FAILED]
        return failed[["point", *self._columns, "error"]].reset_index(drop=True)

    @property
    def _columns(self) -> list[str]:
        return list(dict.fromkeys(axis for coordinates in self.points.values() for axis in coordinates))

    def alignment(self, point: str) -> Alignment:
        """Return the alignment of a finished point.

        Args:
            point: The key of the point, as `table` has it.

        Raises:
            InvalidArgument: There is no such point, or it is not finished.
            FileFormatError: A file of the alignment is broken.
        """
        lookup("point of the sweep", point, self.points)
        if not self.folder.point(point).exists():
            failure = self.folder.failure(point)
            raise InvalidArgument(f"the point {point} is not finished{f': {failure.message}' if failure else ''}")
        return load_alignment(self.folder.point(point))

    def matrix(
        self,
        x: str | None = None,
        y: str | None = None,
        value: str = "iia",
        *,
        where: Mapping[str, Coordinate] | None = None,
        average: Sequence[str] = ("seed",),
    ) -> ScoreMatrix:
        """Return a score over two axes, of the worst direction of each point.

        Args:
            x: The axis of the columns. By default the second site, or the first other axis.
            y: The axis of the rows. By default the first site, or the first other axis.
            value: The column of `table`: `iia`, `no_swap`, `control_untrained`, `latent_distance`, `steps`, ...
            where: The value of other axes, or the source, target or variable, to which the points are restricted.
            average: The axes over which cells are averaged. The matrix has the standard deviation of each cell.

        Raises:
            InvalidArgument: There is no such axis or column, or the points of a cell differ on another axis.
        """
        y_default, x_default = self._default_axes(x, y)
        return score_matrix(
            self.table, self._columns, x or x_default, y or y_default, value, where=where, average=average
        )

    def heatmap(
        self,
        x: str | None = None,
        y: str | None = None,
        value: str = "iia",
        *,
        where: Mapping[str, Coordinate] | None = None,
        average: Sequence[str] = ("seed",),
    ) -> ShownFigure:
        """Draw a score over two axes, of the worst direction of each point. The arguments are those of `matrix`.

        Raises:
            InvalidArgument: There is no such axis or column, or the points of a cell differ on another axis.
        """
        return heatmap(self.matrix(x, y, value, where=where, average=average))

    def report(self) -> Path:
        """Write the page of the sweep, `report.html`, and the page of every point, and return the page's path.

        Raises:
            FileFormatError: The folder cannot be written.
        """
        return write_sweep_report(SweepContent(self.folder, self.table, self.axes, self.matrix))

    def _default_axes(self, x: str | None, y: str | None) -> tuple[str, str]:
        """Return the axes of rows and columns where they are not given: sites first."""
        sites = [axis for axis in (site_axis(0), site_axis(1)) if axis in self.axes]
        others = [axis for axis in [*sites, *self.axes, *self._columns] if axis not in (x, y)]
        first, *rest = [*dict.fromkeys(others)] or [self._columns[0]]
        return (first, rest[0]) if rest and x is None and y is None else (first, first)

    def __repr__(self) -> str:
        shape = " x ".join(f"{len({repr(p.get(a)) for p in self.points.values()})} {a}" for a in self.axes)
        counts = ", ".join(f"{count:,} {status}" for status, count in self.counts.items())
        failures = self.failures["error"].tolist()
        why = f"; the first: {failures[0]}" if failures else ""
        return f"Sweep({self.folder.path}: {len(self.points):,} points, {shape}; {counts}{why})"

    def _repr_html_(self) -> str:
        """The sweep in a notebook: its line, its heat map where one matrix shows all points, and its scores."""
        iia: Any = self.worst.loc[self.worst["status"] == FINISHED, [*self.axes, "source", "target", "iia", "no_swap"]]
        table = iia.to_html(index=False, float_format="%.3f", max_rows=20)
        return f"<p>{html.escape(repr(self))}</p>{self._picture()}{table}"

    def _picture(self) -> str:
        """The heat map as an image, or nothing if no point is finished or several points would share a cell."""
        try:
            picture = self.heatmap()._repr_png_()
        except InvalidArgument:
            return ""
        return f'<img alt="heat map of the worst direction" src="data:image/png;base64,{b64encode(picture).decode()}">'


def load_sweep(folder: Path | str) -> Sweep:
    """Return the sweep of a folder, as far as it is finished.

    Raises:
        FileFormatError: The folder has no sweep, or its declaration is broken.
    """
    found = SweepFolder(folder)
    return Sweep(found, read_declaration(found).points)
