"""What the same search makes of a recording that carries nothing, and of a network that has learnt nothing."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from causalign.alignment.align import align
from causalign.alignment.result import Alignment
from causalign.errors import InvalidArgument
from causalign.sites.base import Site
from causalign.sites.readable import Readable
from causalign.sites.recordings.recording import Recording

_IIA, _LATENT = "IIA", "latent distance"


def recording_controls(
    sites: Sequence[Readable], *, untrained: Sequence[Readable] | None = None, seed: int = 0, **fields: Any
) -> pd.DataFrame:
    """An alignment with recordings beside two in which there is nothing to be found; three searches.

    `shuffled variables` deals the values of each recording's variables out at random among the samples of each split;
    `untrained network` puts an untrained network in the place of each that can be run. What their scores come to, the
    search owes to itself, and not to what is shared.

    Args:
        sites: as for `align`, at least one of them a recording.
        untrained: the sites of the second control; by default networks of the same architecture and width.
        seed: of all random draws.
        **fields: The other fields of `AlignmentConfig`.

    Returns:
        `control, measure, source, target, value, ci_low, ci_high`, the alignment itself as `none`; directions into
        recordings have the latent distance (less is better), the others the IIA.

    Raises:
        InvalidArgument: there is no recording, or no untrained version of a network is known.
    """
    if not any(isinstance(site, Recording) for site in sites):
        raise InvalidArgument("these controls are of recordings, and none of the sites is one")
    shuffled = [site.shuffled(seed) if isinstance(site, Recording) else site for site in sites]
    if untrained is None:
        untrained = [_untrained(site, seed) if isinstance(site, Site) else site for site in sites]
    tables = []
    for control, chosen in (("none", sites), ("shuffled variables", shuffled), ("untrained network", untrained)):
        tables.append(_scores(align(chosen, seed=seed, **fields)).assign(control=control))
    columns = ["control", "measure", "source", "target", "value", "ci_low", "ci_high"]
    return pd.concat(tables, ignore_index=True)[columns]


def _untrained(site: Site, seed: int) -> Site:
    return site.network.untrained(seed).site(site.at, site.task)


def _scores(alignment: Alignment) -> pd.DataFrame:
    iia = alignment.iia.rename(columns={"iia": "value"}).assign(measure=_IIA)
    latent = alignment.latent.rename(columns={"distance": "value"}).assign(measure=_LATENT)
    return pd.concat([part for part in (iia, latent) if len(part)], ignore_index=True)
