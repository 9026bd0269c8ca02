"""Scores of maps that were found elsewhere: on other data, or on networks that can be run after all."""

from collections.abc import Sequence

import pandas as pd

from causalign.alignment.methods import every_direction, method_of
from causalign.alignment.result import Alignment
from causalign.counterfactuals.dataset import Counterfactuals
from causalign.counterfactuals.interventions import keep
from causalign.counterfactuals.row_source import RowRequest
from causalign.errors import InvalidArgument
from causalign.run_context import RunContext
from causalign.scoring.iia import iia_table, row_outcomes
from causalign.sites.base import require_site
from causalign.sites.readable import Readable
from causalign.storage import DEFAULT_BUDGET


def score(
    alignment: Alignment,
    data: Counterfactuals | Sequence[Readable],
    *,
    test: int = 1_000,
    seed: int = 0,
    memory: float = DEFAULT_BUDGET,
    same_networks: bool = True,
) -> pd.DataFrame:
    """Score every direction under the maps of an alignment, on the test rows of a dataset.

    Where a recorded system can be run after all, its site takes the recording's place: then the causal claim about it
    is tested.

    Args:
        alignment: The alignment whose maps, method and variable are taken.
        data: A counterfactual dataset; or a site for each site of the alignment, for which rows are drawn from tasks.
        test: Rows of each direction, where they are drawn.
        seed: The seed of their draw.
        memory: GiB that tables may take, where rows are drawn.
        same_networks: Whether to require that the sites are those that the maps were found for, in the same order, by
            the fingerprints of their networks. Recordings are exempt.

    Returns:
        `source, target, variable, iia, ci_low, ci_high, trials, no_swap`; the last with nothing swapped.

    Raises:
        InvalidArgument: A site is a recording, of another width, or of another network than its map was found for; or
            the map is of states that were preprocessed.
    """
    summary = alignment.record
    method = method_of(summary.method)
    if not isinstance(data, Counterfactuals):
        named = summary.variable if isinstance(summary.variable, str) else list(summary.variable)
        run = [require_site(site, "its IIA is how it goes on") for site in data]
        _require_fitting(alignment, run, same_networks)
        data = Counterfactuals.from_task(run, variable=named, n_test=test, seed=seed, memory=memory)
    else:
        _require_fitting(alignment, data.sites, same_networks)
    data.check(method.stepwise, seed)
    directions = tuple(every_direction(len(data.sites)))
    split = "test" if data.counts["test"] else "train"
    rows = data.rows(RowRequest(split, directions, method.stepwise), RunContext(seed, data.store))
    iia, baseline = (
        iia_table(data.names, data.variables, row_outcomes(data.sites, alignment.maps, swap, rows))
        for swap in (method.swap, keep)
    )
    return iia.assign(no_swap=baseline["iia"])


def _require_fitting(alignment: Alignment, sites: Sequence[Readable], same_networks: bool) -> None:
    """Check that every map can be applied to its site, and was found for its network."""
    summary = alignment.record
    if len(sites) != len(alignment.maps):
        raise InvalidArgument(f"the alignment has {len(alignment.maps)} sites, found {len(sites)}")
    for index, site in enumerate(sites):
        require_site(site, "its IIA is how it goes on")
        done = alignment.preprocessing[index] if alignment.preprocessing else None
        about = summary.sites[index]
        if site.width != alignment.maps[index].width or (done is not None and not done.nothing):
            raise InvalidArgument(
                f"the map of {about.name} is of {alignment.maps[index].width} dimensions"
                f"{', of preprocessed states' if done is not None and not done.nothing else ''}, and cannot be applied "
                f"to {site.name}, whose states have {site.width}"
            )
        if same_networks and about.recording is None and (about.fingerprint, about.at) != (site.fingerprint, site.at):
            raise InvalidArgument(
                f"site {index} is {site.name} ({site.fingerprint}), and its map was found for {about.name} "
                f"({about.fingerprint}): give the sites in their order, or same_networks=False"
            )
