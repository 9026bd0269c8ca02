"""Scores of maps on other data, or on networks that can be run after all."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import pandas as pd
from jaxtyping import Float
from torch import Tensor

from causalign.alignment.complement import complements
from causalign.alignment.schema import AlignmentSummary
from causalign.counterfactuals.dataset import Counterfactuals, as_sites, require_seed
from causalign.counterfactuals.direction import Direction
from causalign.counterfactuals.interventions import keep
from causalign.counterfactuals.row_source import RowRequest
from causalign.counterfactuals.rows import CounterfactualRows
from causalign.counterfactuals.variables import Variables
from causalign.errors import InvalidArgument
from causalign.maps.base import AlignmentMap
from causalign.methods.base import every_direction
from causalign.recordings.affine_transformer import AffineTransformer
from causalign.recordings.preprocessing import Preprocessing
from causalign.run_context import RunContext
from causalign.scoring.iia import by_variable, iia_table, row_outcomes
from causalign.scoring.metrics import Metric, direction_metrics, metrics_of
from causalign.sites.base import require_site
from causalign.sites.readable import Readable
from causalign.storage import DEFAULT_BUDGET
from causalign.tasks.variable import FULL

IIA = "iia"
_LINE = ["source", "target", "variable"]


@dataclass(frozen=True)
class MapSet:
    """The maps of an alignment, and what they were found for."""

    maps: Sequence[AlignmentMap]
    summary: AlignmentSummary
    preprocessing: Sequence[Preprocessing | AffineTransformer | None]

    def maps_of(self, variables: Variables) -> tuple[AlignmentMap, ...]:
        """Return the maps for rows with these variables: their blocks, in this order, if the maps have blocks.

        Raises:
            InvalidArgument: A variable has no block.
        """
        maps = self.of_activity(self.maps)
        if len(self.summary.blocks) > 1:
            return tuple(each.arranged(variables.names) for each in maps)
        if len(variables) > 1:
            raise InvalidArgument(
                f"the maps are of one variable, {self.summary.variable}, and the dataset has "
                f"{', '.join(variables.names)}"
            )
        return maps

    def of_activity(self, maps: Sequence[AlignmentMap]) -> tuple[AlignmentMap, ...]:
        """Return maps of activity as it was recorded, whatever the unit in which the search measured it.

        The states of a recording are its activity divided by `unit`, so the scale of the map is, too.
        """
        if not self.preprocessing:
            return tuple(maps)
        units = [1.0 if done is None else done.unit for done in self.preprocessing]
        return tuple(
            each if unit == 1 else replace(each, scale=each.scale / unit)
            for each, unit in zip(maps, units, strict=True)
        )

    def require_positions(self, swaps: int) -> None:
        """Check that rows have as many positions as the maps have subspaces.

        Raises:
            InvalidArgument: Each position has a subspace of its own, and the rows have another number of positions.
        """
        subspaces = self.summary.subspaces
        if subspaces > 1 and swaps != subspaces:
            raise InvalidArgument(
                f"the maps have a subspace for each of {subspaces} positions, and the rows have {swaps}: give as many"
            )

    def require_sites(self, sites: Sequence[Readable], same_networks: bool) -> None:
        """Check that every map can be applied to its site, and was found for its network.

        Raises:
            InvalidArgument: A site is a recording, of another width, or of another network; or its map is of states
                that were preprocessed.
        """
        if len(sites) != len(self.maps):
            raise InvalidArgument(f"the alignment has {len(self.maps)} sites, found {len(sites)}")
        for index, site in enumerate(sites):
            require_site(site, "its IIA is how it goes on")
            done = self.preprocessing[index] if self.preprocessing else None
            preprocessed = done is not None and not done.only_unit
            about = self.summary.sites[index]
            if site.width != self.maps[index].width or preprocessed:
                raise InvalidArgument(
                    f"the map of {about.name} is of {self.maps[index].width} dimensions"
                    f"{', of preprocessed states' if preprocessed else ''}, and cannot be applied "
                    f"to {site.name}, whose states have {site.width}"
                )
            recorded = about.recording is not None
            if same_networks and not recorded and (about.fingerprint, about.at) != (site.fingerprint, site.at):
                raise InvalidArgument(
                    f"site {index} is {site.name} ({site.fingerprint}), and its map was found for {about.name} "
                    f"({about.fingerprint}): give the sites in their order, or same_networks=False"
                )


@dataclass(frozen=True)
class Draw:
    """How test rows are drawn from tasks."""

    n_test: int | None
    seed: int
    memory: float | None


def dataset_for(
    found: MapSet, data: Counterfactuals | Sequence[Readable] | Readable, draw: Draw, same_networks: bool
) -> Counterfactuals:
    """Return the dataset to score maps on, checked: the one that is given, or one that is drawn from tasks.

    Raises:
        InvalidArgument: As `Alignment.score`.
    """
    require_seed(draw.seed)
    if isinstance(data, Counterfactuals):
        if draw.n_test is not None or draw.memory is not None:
            raise InvalidArgument("n_test and memory say how rows are drawn, and a dataset is given: leave them out")
        found.require_sites(data.sites, same_networks)
    else:
        variable, blocks = found.summary.variable, tuple(found.summary.blocks)
        run = [require_site(site, "its IIA is how it goes on") for site in as_sites(data)]
        found.require_sites(run, same_networks)
        data = Counterfactuals.from_task(
            run,
            variable=FULL if len(blocks) > 1 else variable if isinstance(variable, str) else list(variable),
            variables=blocks if len(blocks) > 1 else None,
            n_test=1_000 if draw.n_test is None else draw.n_test,
            seed=draw.seed,
            memory=DEFAULT_BUDGET if draw.memory is None else draw.memory,
        )
    found.require_positions(data.swaps)
    data.check(found.summary.config.method.stepwise, draw.seed)
    return data


def _test_rows(found: MapSet, data: Counterfactuals) -> RowRequest:
    """The rows of all directions in the split that is scored."""
    split = "test" if data.counts["test"] else "train"
    return RowRequest(split, tuple(every_direction(len(data.sites))), found.summary.config.method.stepwise)


def row_table(
    found: MapSet, data: Counterfactuals, metrics: Sequence[str | Metric] | str | Metric, seed: int = 0
) -> pd.DataFrame:
    """Return every metric of every row of every direction: `source, target, variable, row`, and a metric's column."""
    chosen = metrics_of(metrics)
    request = _test_rows(found, data)
    rows = data.rows(request, RunContext(seed, data.store))
    maps = found.maps_of(data.variables)
    values = direction_metrics(data.sites, maps, found.summary.config.method.intervention, rows, chosen)
    parts = []
    for direction, of in values.items():
        ends = {"source": data.names[direction.source], "target": data.names[direction.target]}
        variables = _variable_of_rows(data.variables, direction, rows[direction])
        parts.append(pd.DataFrame({**ends, "variable": variables, "row": data.index(request.split), **_arrays(of)}))
    return pd.concat(parts, ignore_index=True)


def direction_table(
    found: MapSet, data: Counterfactuals, metrics: Sequence[str | Metric] | str | Metric = IIA, seed: int = 0
) -> pd.DataFrame:
    """Return a line for each direction and variable.

    Returns:
        `source, target, variable, iia, ci_low, ci_high, rows, no_swap, complement`, and for each metric but the IIA its
        mean and `METRIC_se`, the standard error of the mean over rows.
    """
    chosen, method = metrics_of(metrics), found.summary.config.method
    request, context = _test_rows(found, data), RunContext(seed, data.store)
    rows, maps = data.rows(request, context), found.maps_of(data.variables)
    swapped, plain = (
        by_variable(row_outcomes(data.sites, maps, swap, rows), rows) for swap in (method.intervention, keep)
    )
    kept = complements(data, maps, method, rows, (request, context)).outcomes
    table = iia_table(data.names, data.variables, swapped, plain, kept)
    others = {name: metric for name, metric in chosen.items() if name != IIA}
    if not others:
        return table
    means = row_table(found, data, metrics, seed)
    lines = pd.MultiIndex.from_frame(table[_LINE])
    for name in others:
        grouped = means.groupby(_LINE, sort=False)[name]
        table[name], table[f"{name}_se"] = (each.loc[lines].to_numpy() for each in (grouped.mean(), grouped.sem()))
    return table


def _variable_of_rows(variables: Variables, direction: Direction, rows: CounterfactualRows) -> list[str]:
    """The name of the variable of each row of a direction."""
    names = [variables.label(index, direction) for index in range(len(variables))]
    return names * len(rows) if rows.variable is None else [names[int(each)] for each in rows.variable]


def _arrays(values: Mapping[str, Float[Tensor, " rows"]]) -> dict[str, object]:
    return {name: each.numpy() for name, each in values.items()}
