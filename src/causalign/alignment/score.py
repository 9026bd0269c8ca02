"""Scores of maps on other data, or on networks that can be run after all."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
from jaxtyping import Float
from torch import Tensor

from causalign.alignment.schema import AlignmentSummary
from causalign.counterfactuals.dataset import Counterfactuals, as_sites, require_seed
from causalign.counterfactuals.direction import Direction
from causalign.counterfactuals.interventions import keep
from causalign.counterfactuals.row_source import RowRequest
from causalign.counterfactuals.rows import CounterfactualRows
from causalign.errors import InvalidArgument
from causalign.maps.base import AlignmentMap
from causalign.methods.base import every_direction
from causalign.recordings.affine_transformer import AffineTransformer
from causalign.recordings.preprocessing import Preprocessing
from causalign.run_context import RunContext
from causalign.scoring.iia import iia_table, row_outcomes
from causalign.scoring.metrics import Metric, direction_metrics, metrics_of
from causalign.sites.base import require_site
from causalign.sites.readable import Readable
from causalign.storage import DEFAULT_BUDGET

IIA = "iia"
_LINE = ["source", "target", "row"]


@dataclass(frozen=True)
class MapSet:
    """The maps of an alignment, and what they were found for."""

    maps: Sequence[AlignmentMap]
    summary: AlignmentSummary
    preprocessing: Sequence[Preprocessing | AffineTransformer | None]

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
            preprocessed = done is not None and not done.nothing
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
        variable = found.summary.variable
        run = [require_site(site, "its IIA is how it goes on") for site in as_sites(data)]
        found.require_sites(run, same_networks)
        data = Counterfactuals.from_task(
            run,
            variable=variable if isinstance(variable, str) else list(variable),
            n_test=1_000 if draw.n_test is None else draw.n_test,
            seed=draw.seed,
            memory=DEFAULT_BUDGET if draw.memory is None else draw.memory,
        )
    data.check(found.summary.config.method.stepwise, draw.seed)
    return data


def _test_rows(found: MapSet, data: Counterfactuals, seed: int) -> tuple[str, dict[Direction, CounterfactualRows]]:
    """The split that is scored, and its rows."""
    split = "test" if data.counts["test"] else "train"
    request = RowRequest(split, tuple(every_direction(len(data.sites))), found.summary.config.method.stepwise)
    return split, data.rows(request, RunContext(seed, data.store))


def row_table(
    found: MapSet, data: Counterfactuals, metrics: Sequence[str | Metric] | str | Metric, seed: int = 0
) -> pd.DataFrame:
    """Return every metric of every row of every direction: `source, target, row`, and a column for each metric."""
    chosen = metrics_of(metrics)
    split, rows = _test_rows(found, data, seed)
    values = direction_metrics(data.sites, found.maps, found.summary.config.method.intervention, rows, chosen)
    parts = [
        pd.DataFrame(
            {"source": data.names[source], "target": data.names[target], "row": data.index(split), **_arrays(of)}
        )
        for (source, target), of in values.items()
    ]
    return pd.concat(parts, ignore_index=True)


def direction_table(
    found: MapSet, data: Counterfactuals, metrics: Sequence[str | Metric] | str | Metric = IIA, seed: int = 0
) -> pd.DataFrame:
    """Return a line for each direction.

    Returns:
        `source, target, variable, iia, ci_low, ci_high, rows, no_swap`, and for each metric but the IIA its mean and
        `METRIC_se`, the standard error of the mean over rows.
    """
    chosen = metrics_of(metrics)
    _, rows = _test_rows(found, data, seed)
    swapped, plain = (
        row_outcomes(data.sites, found.maps, swap, rows) for swap in (found.summary.config.method.intervention, keep)
    )
    table = iia_table(data.names, data.variables, swapped, plain)
    others = {name: metric for name, metric in chosen.items() if name != IIA}
    if not others:
        return table
    means = row_table(found, data, metrics, seed)
    for name in others:
        grouped = means.groupby(_LINE[:2], sort=False)[name]
        table[name], table[f"{name}_se"] = grouped.mean().to_numpy(), grouped.sem().to_numpy()
    return table


def _arrays(values: Mapping[str, Float[Tensor, " rows"]]) -> dict[str, object]:
    return {name: each.numpy() for name, each in values.items()}
