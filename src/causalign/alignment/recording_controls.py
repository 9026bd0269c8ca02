"""Controls of alignments with recordings: shuffled variables, and untrained networks."""

import warnings
from collections.abc import Sequence
from typing import Any

import pandas as pd

from causalign.alignment.align import align
from causalign.alignment.result import Alignment
from causalign.errors import InvalidArgument, SearchWarning
from causalign.sites.base import Site
from causalign.sites.readable import Readable
from causalign.sites.recordings.recording import Recording

_IIA, _LATENT = "IIA", "latent distance"


def recording_controls(
    sites: Sequence[Readable], *, untrained: Sequence[Readable] | None = None, seed: int = 0, **fields: Any
) -> pd.DataFrame:
    """Score an alignment with recordings, and two controls in which there is nothing to find.

    `shuffled variables` shuffles the values of each recording's variables among the samples of each split. `untrained
    network` replaces each network that can be run by an untrained one. The scores of the controls are those that the
    search reaches without anything shared. There are three searches.

    Args:
        sites: The sites, as in `align`. At least one of them is a recording.
        untrained: The sites of the second control. By default, networks of the same architecture and width.
        seed: The seed of all random draws.
        **fields: The other fields of `AlignmentConfig`.

    Returns:
        A table with the columns `control, measure, source, target, value, ci_low, ci_high`. The control of the
        alignment itself is `none`. The measure is the latent distance (lower is better) for directions into recordings,
        and the IIA for the others.

    Raises:
        InvalidArgument: No site is a recording, or a network has no known untrained version.
    """
    if not any(isinstance(site, Recording) for site in sites):
        raise InvalidArgument("recording_controls needs a recording, and none of the sites is one")
    shuffled = [site.shuffled(seed) if isinstance(site, Recording) else site for site in sites]
    if untrained is None:
        untrained = [_untrained(site, seed) if isinstance(site, Site) else site for site in sites]
    tables = []
    for control, chosen in (("none", sites), ("shuffled variables", shuffled), ("untrained network", untrained)):
        with warnings.catch_warnings():
            if control != "none":  # a control is not expected to exceed its baseline
                warnings.simplefilter("ignore", SearchWarning)
            found = align(chosen, seed=seed, **fields)
        tables.append(_scores(found).assign(control=control))
    columns = ["control", "measure", "source", "target", "value", "ci_low", "ci_high"]
    return pd.concat(tables, ignore_index=True)[columns]


def _untrained(site: Site, seed: int) -> Site:
    return site.network.untrained(seed).site(site.at, site.task)


def _scores(alignment: Alignment) -> pd.DataFrame:
    iia = alignment.iia.rename(columns={"iia": "value"}).assign(measure=_IIA)
    latent = alignment.latent.rename(columns={"distance": "value"}).assign(measure=_LATENT)
    return pd.concat([part for part in (iia, latent) if len(part)], ignore_index=True)
