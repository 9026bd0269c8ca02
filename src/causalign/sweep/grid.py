"""The grid of a sweep: axes over the fields of a spec, and the spec of every point.

base, axes --patterns expanded, fields replaced--> specs with coordinates
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from causalign.alignment.config import AlignmentConfig
from causalign.alignment.spec import AlignmentSpec, override
from causalign.alignment.table_spec import TableSpec
from causalign.errors import InvalidArgument, unknown
from causalign.methods.registry import METHODS
from causalign.search.config import SearchConfig
from causalign.sweep.site_pattern import is_pattern, matching_files, matching_sites

SITES = "sites"
_TABLE = "data.table"
Coordinate = str | int | float | bool | None
"""The value of an axis as a table has it: numbers as they are, and everything else as text."""


def site_axis(index: int) -> str:
    """Return the name of the axis of a site, such as `site_1` of the first."""
    return f"site_{index + 1}"


def coordinate(value: Any) -> Coordinate:
    """Return the value of an axis as a table has it."""
    if value is None or isinstance(value, str | int | float | bool):
        return value
    declared = getattr(value, "declaration", getattr(value, "parameters", value))
    return json.dumps(declared, default=str) if isinstance(declared, Mapping | list | tuple) else str(declared)


@dataclass(frozen=True)
class GridPoint:
    """A point of a grid: the fields that it sets, by path, and its coordinates by axis."""

    overrides: Mapping[tuple[str, ...], Any]
    coordinates: Mapping[str, Coordinate]


def axis_path(axis: str) -> tuple[str, ...]:
    """Return the path of the field that an axis names: `rank`, `search.max_steps`, `method.latent_weight`, ...

    Raises:
        InvalidArgument: There is no such field; near matches are named.
    """
    path = tuple(axis.split("."))
    inner: dict[str, Sequence[str]] = {
        "search": list(SearchConfig.model_fields),
        "data": list(TableSpec.model_fields),
        "method": sorted({name for method in METHODS.values() for name in method().parameters if name != "name"}),
        "rank": ["tolerance", "trial_steps", "candidates", "max_rank"],
    }
    fields = [*AlignmentSpec.model_fields, *(f"{name}.{each}" for name, of in inner.items() for each in of)]
    known = len(path) == 1 and axis in fields
    if not known and not (len(path) == 2 and path[1] in inner.get(path[0], ())):
        raise unknown("axis of the grid", axis, [*fields, site_axis(0), site_axis(1)])
    return path


def grid_points(axes: Mapping[str, Sequence[Any]]) -> list[GridPoint]:
    """Return the points of a grid, the last axis varying fastest.

    Args:
        axes: The values of each axis, by the path of its field. The axis `sites` has a list of sites for each value.

    Raises:
        InvalidArgument: An axis names no field, has no values, or has a value twice.
    """
    paths = {axis: axis_path(axis) for axis in axes}
    for axis, values in axes.items():
        _require_values(axis, values)
    points = []
    for values in product(*axes.values()):
        chosen = dict(zip(axes, values, strict=True))
        coordinates = {axis: coordinate(value) for axis, value in chosen.items() if axis != SITES}
        sites = [getattr(each, "name", each) for each in chosen.get(SITES, ())]
        points.append(
            GridPoint(
                {paths[axis]: value for axis, value in chosen.items()},
                {site_axis(index): coordinate(each) for index, each in enumerate(sites)} | coordinates,
            )
        )
    return points


def declared_axes(base: Mapping[str, Any], grid: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Return the axes of a sweep whose sites are named by reference, with its patterns expanded.

    The sites are the first axis. Its values are all combinations of what the sites of the base, or of the axes
    `site_1`, `site_2` and so on, stand for; or the lists of the axis `sites` itself.

    Args:
        base: The fields of the spec that all points share.
        grid: The values of each axis.

    Raises:
        InvalidArgument: A pattern matches nothing, an axis is not a list, or sites are given twice.
    """
    values = {axis: _listed(axis, given) for axis, given in grid.items()}
    with_task = not (base.get("data") or any(axis.split(".")[0] == "data" for axis in grid))
    axes: dict[str, list[Any]] = {SITES: list(_site_lists(base, values, with_task))}
    for axis, of in values.items():
        if axis == _TABLE:
            axes[axis] = [file for pattern in of for file in matching_files(pattern)]
        elif axis != SITES and not _is_site_axis(axis):
            axes[axis] = of
    return axes


def specs(base: Mapping[str, Any], points: Sequence[GridPoint]) -> Iterator[AlignmentSpec]:
    """Yield the spec of every point.

    Raises:
        InvalidArgument: A field has a wrong value.
    """
    for point in points:
        described = ", ".join(f"{axis} = {value}" for axis, value in point.coordinates.items())
        yield AlignmentSpec.read(override(base, dict(point.overrides)), f"the point {described}")


def config_of(base: AlignmentConfig, point: GridPoint) -> AlignmentConfig:
    """Return the configuration of a point whose sites and data exist already.

    Raises:
        InvalidArgument: A field has a wrong value, or belongs to a table that is named by reference.
    """
    own = {path: value for path, value in point.overrides.items() if path[0] != SITES}
    for path in own:
        if path[0] == "data":
            raise InvalidArgument(
                f"the axis {'.'.join(path)} is of a table that is named by reference, and the data are in memory"
            )
    fields = {name: getattr(base, name) for name in AlignmentConfig.model_fields}
    return AlignmentConfig.read(override(fields, own), "the grid")


def _site_lists(
    base: Mapping[str, Any], grid: Mapping[str, Sequence[Any]], with_task: bool
) -> Iterator[tuple[str, ...]]:
    named = {axis: values for axis, values in grid.items() if _is_site_axis(axis)}
    if SITES in grid:
        if named or base.get(SITES):
            raise InvalidArgument("the grid has lists of sites: leave out sites of the base, and site_1 and so on")
        patterns = [[[each] for each in ([sites] if isinstance(sites, str) else sites)] for sites in grid[SITES]]
    else:
        sides = [[each] for each in base.get(SITES) or ()]
        for axis, values in named.items():
            index = int(axis.removeprefix("site_")) - 1
            if index >= len(sides):
                sides += [[] for _ in range(index + 1 - len(sides))]
            elif sides[index] and is_pattern(sides[index][0]):
                raise InvalidArgument(f"{axis} is an axis, and the base has the pattern {sides[index][0]}: keep one")
            sides[index] = list(values)
        if not sides or not all(sides):
            raise InvalidArgument("name the sites: sites = [...] in the base, or the axes site_1, site_2 and so on")
        patterns = [sides]
    for sides in patterns:
        expanded = [[site for each in side for site in matching_sites(each, with_task)] for side in sides]
        yield from product(*expanded)


def _is_site_axis(axis: str) -> bool:
    return axis.startswith("site_") and axis.removeprefix("site_").isdigit() and axis != "site_0"


def _listed(axis: str, values: Any) -> list[Any]:
    """The values of an axis: of a list, a range, or a text, which is one value."""
    if isinstance(values, str):
        return [values]
    if isinstance(values, Mapping) or not hasattr(values, "__iter__"):
        raise InvalidArgument(f"the axis {axis} of the grid is a list of values, found {values!r}")
    return list(values)


def _require_values(axis: str, values: Sequence[Any]) -> None:
    if not len(values):
        raise InvalidArgument(f"the axis {axis} of the grid has no values")
    shown = [str([getattr(s, "name", s) for s in v]) if axis == SITES else str(coordinate(v)) for v in values]
    twice = next((each for each in shown if shown.count(each) > 1), None)
    if twice is not None:
        raise InvalidArgument(f"the axis {axis} of the grid has the value {twice} twice")
