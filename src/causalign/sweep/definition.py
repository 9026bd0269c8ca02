"""The definition of a sweep: its points by key, and what its folder declares.

base, grid, fields --axes--> cells --> points
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, cast

from causalign.alignment.align import config_of as whole_config
from causalign.alignment.spec import AlignmentSpec
from causalign.counterfactuals.dataset import Counterfactuals, as_sites
from causalign.errors import InvalidArgument
from causalign.sites.readable import Readable
from causalign.sites.uri import network_and_place
from causalign.sweep.declaration import Declaration
from causalign.sweep.grid import SITES, GridPoint, config_of, coordinate, declared_axes, grid_points, specs
from causalign.sweep.point import AlignmentPoint, LivePoint, Point

Base = AlignmentSpec | Mapping[str, Any] | Sequence[str] | Counterfactuals | Sequence[Readable] | Readable


@dataclass(frozen=True)
class SweepDefinition:
    """The points of a sweep, and its declaration.

    Attributes:
        points: The points by key.
        declaration: The declaration that the folder of the sweep holds.
        live: Whether the points have a dataset or sites that exist in this process.
        references: The sites of all points, where they are named by reference.
        shares_inputs: Whether two points read the same inputs by the same network. Points of other seeds do not.
    """

    points: Mapping[str, Point]
    declaration: Declaration
    live: bool
    references: tuple[str, ...] = ()
    shares_inputs: bool = True


def define(base: Base, grid: Mapping[str, Any], fields: Mapping[str, Any]) -> SweepDefinition:
    """Return the definition of a sweep: of references, or of a dataset or sites that exist in this process.

    Args:
        base: What all points share.
        grid: The values of each axis.
        fields: The fields of the configuration.

    Raises:
        InvalidArgument: A field or an axis is unknown or wrong, a pattern matches nothing, or two points are the same.
        CausalignError: A network cannot be opened.
    """
    if isinstance(base, Counterfactuals | Readable):
        return _live(base, grid, fields)
    if isinstance(base, AlignmentSpec):
        return _by_reference({name: getattr(base, name) for name in base.model_fields_set} | dict(fields), grid)
    if isinstance(base, Mapping):
        return _by_reference({**base, **fields}, grid)
    if isinstance(base, str):
        return _by_reference({SITES: [base], **fields}, grid)
    if all(isinstance(each, str) for each in base) and (len(base) or not _has_live_sites(grid)):
        return _by_reference({**({SITES: list(base)} if len(base) else {}), **fields}, grid)
    return _live(cast("Sequence[Readable]", base), grid, fields)


def _has_live_sites(grid: Mapping[str, Any]) -> bool:
    values = [each for axis, of in grid.items() if axis.startswith("site") for each in of]
    return any(isinstance(each, Readable) or not isinstance(each, str) for each in values)


def _by_reference(base: Mapping[str, Any], grid: Mapping[str, Any]) -> SweepDefinition:
    axes = declared_axes(base, grid)
    shared = {name: value for name, value in base.items() if name != SITES}
    cells = grid_points(axes)
    points = [AlignmentPoint(spec) for spec in specs(shared, cells)]
    spec = AlignmentSpec.read({**shared, SITES: axes[SITES][0]}, "the base").model_dump(mode="json")
    del spec[SITES]
    references = tuple(dict.fromkeys(site for sites in axes[SITES] for site in sites))
    found = _keyed(points, cells, Declaration(spec, _shown(axes), {}), live=False)
    return replace(found, references=references, shares_inputs=_shares_inputs([point.spec for point in points]))


def _shares_inputs(points: Sequence[AlignmentSpec]) -> bool:
    readers = Counter((network_and_place(site)[0], point.seed) for point in points for site in point.sites)
    return any(count > 1 for count in readers.values())


def _live(
    base: Counterfactuals | Sequence[Readable] | Readable, grid: Mapping[str, Any], fields: Mapping[str, Any]
) -> SweepDefinition:
    data = base if isinstance(base, Counterfactuals) else None
    config = whole_config(None, dict(fields))
    own = data.sites if data is not None else as_sites(cast("Any", base)) if not _is_empty(base) else ()
    axes = _live_axes(own, grid)
    cells = grid_points(axes)
    everyone = list({id(site): site for sites in axes[SITES] for site in sites}.values())
    points = [LivePoint.of(_live_data(data, cell), config_of(config, cell), everyone) for cell in cells]
    shared = {"config": config.model_dump(mode="json"), "data": None if data is None else data.fingerprint}
    return _keyed(points, cells, Declaration(shared, _shown(axes), {}), live=True)


def _is_empty(base: object) -> bool:
    return isinstance(base, Sequence) and not len(base)


def _live_data(data: Counterfactuals | None, cell: GridPoint) -> Counterfactuals | tuple[Readable, ...]:
    sites = tuple(cell.overrides[(SITES,)])
    return sites if data is None else data.with_sites(sites)


def _live_axes(own: Sequence[Readable], grid: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Return the axes of sites that exist in this process, the sites first."""
    sides: list[list[Any]] = [[site] for site in own]
    others = {}
    for axis, values in grid.items():
        if axis.startswith("site_") and axis.removeprefix("site_").isdigit():
            index = int(axis.removeprefix("site_")) - 1
            sides += [[] for _ in range(index + 1 - len(sides))]
            sides[index] = list(values)
        elif axis != SITES:
            others[axis] = list(values)
    lists = [tuple(as_sites(each)) for each in grid[SITES]] if SITES in grid else list(product(*sides))
    return {SITES: lists, **others}


def _shown(axes: Mapping[str, Sequence[Any]]) -> dict[str, list[Any]]:
    """The values of the axes, as JSON has them."""
    return {
        axis: [[getattr(s, "name", s) for s in each] if axis == SITES else coordinate(each) for each in values]
        for axis, values in axes.items()
    }


def _keyed(
    points: Sequence[Point], cells: Sequence[GridPoint], declaration: Declaration, *, live: bool
) -> SweepDefinition:
    by_key: dict[str, Point] = {}
    coordinates: dict[str, Mapping[str, Any]] = {}
    for point, cell in zip(points, cells, strict=True):
        key = point.key
        if key in by_key:
            raise InvalidArgument(f"two points of the grid are the same: {coordinates[key]} and {cell.coordinates}")
        by_key[key], coordinates[key] = point, cell.coordinates
    return SweepDefinition(by_key, Declaration(declaration.base, declaration.axes, coordinates), live)
