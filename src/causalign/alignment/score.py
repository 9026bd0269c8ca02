"""Scoring maps that were found elsewhere: on networks that can be run after all."""

from collections.abc import Sequence

import pandas as pd

from causalign.alignment.methods import every_direction, method_of
from causalign.alignment.result import Alignment
from causalign.counterfactuals.from_task import draw_rows
from causalign.counterfactuals.interventions import keep
from causalign.engine.activation_cache import read_activations
from causalign.errors import CausalignError
from causalign.scoring.iia import iia_table, row_outcomes
from causalign.sites.base import require_site
from causalign.sites.checks import check
from causalign.sites.readable import Readable
from causalign.storage import DEFAULT_BUDGET, Store
from causalign.tasks.variable import Variable


def score(
    alignment: Alignment, sites: Sequence[Readable], *, test: int = 1_000, seed: int = 0, memory: float = DEFAULT_BUDGET
) -> pd.DataFrame:
    """The IIA of all directions under maps that are not searched for, but those of an alignment.

    Where a recorded system can be run after all, its site takes the recording's place: then the causal claim about it
    is tested.

    Args:
        alignment: whose maps, method and variable are taken.
        sites: one for each of its sites, of the same width, all of which can be run.
        test: interventions of each direction.
        seed: of their draw.
        memory: GiB that tables may take.

    Returns:
        `source, target, variable, iia, ci_low, ci_high, trials, unswapped`; the last with nothing swapped.

    Raises:
        CausalignError: a site is a recording, of another width, or its map is of states that were preprocessed.
    """
    record = alignment.record
    method = method_of(record.method)
    run = [require_site(site, "its IIA is how it goes on") for site in sites]
    if len(run) != len(alignment.maps):
        raise CausalignError(f"the alignment has {len(alignment.maps)} sites, found {len(run)}")
    for index, site in enumerate(run):
        check(site, seed, method.stepwise)
        done = alignment.preprocessing[index] if alignment.preprocessing else None
        if site.width != alignment.maps[index].width or (done is not None and not done.nothing):
            raise CausalignError(
                f"the map of {record.sites[index].name} is of {alignment.maps[index].width} dimensions"
                f"{', of preprocessed states' if done is not None and not done.nothing else ''}, and cannot be applied "
                f"to {site.name}, whose states have {site.width}"
            )
    named = [record.variable] * len(run) if isinstance(record.variable, str) else record.variable
    variables, directions, store = [Variable.of(name) for name in named], every_direction(len(run)), Store(memory)
    recorded = read_activations(run, test, seed, "score", method.stepwise, store)
    drawn = draw_rows(run, variables, directions, recorded, test, seed, "score", stepwise=method.stepwise, store=store)
    names = [f"{site.name} #{index}" if run.count(site) > 1 else site.name for index, site in enumerate(run)]
    iia, floor = (
        iia_table(names, variables, row_outcomes(run, alignment.maps, swap, drawn)) for swap in (method.swap, keep)
    )
    return iia.assign(no_swap=floor["iia"])
