"""Estimates for deep language models: shallow models are run, and their costs are extrapolated to all layers.

No weights are read. The model may therefore be too large for the machine, or not downloaded yet.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from causalign.alignment.spec import AlignmentSpec, on_one_device
from causalign.memory import GIB
from causalign.planning.estimate import Estimate, estimate
from causalign.sites.readable import Readable
from causalign.sites.transformers.description import SiteDescription
from causalign.sites.uri import describe_site, open_site

Rehearse = Callable[[Sequence[Readable]], Estimate]


def estimate_of_spec(spec: AlignmentSpec) -> Estimate:
    """Estimate the cost of the alignment that a spec declares. Language models of many layers are not loaded.

    Raises:
        CausalignError: A site cannot be opened, or not even a shallow model fits into memory.
    """
    if spec.data is not None:
        sites = spec.open_sites()
        return estimate(spec.dataset(sites), spec.config)
    return _estimate_of_sites(spec.sites, lambda sites: estimate(on_one_device(sites), spec.config))


def _estimate_of_sites(references: Sequence[str], rehearse: Rehearse) -> Estimate:
    deep, loaded = dict[int, SiteDescription](), dict[int, Readable]()
    for index, reference in enumerate(references):
        described = describe_site(reference)
        if described is not None and described.is_deep:
            deep[index] = described
        else:
            loaded[index] = open_site(reference)
    if not deep:
        return rehearse(list(loaded.values()))
    shallow = {index: site.shallowest for index, site in deep.items()}
    least = _rehearsed(shallow, loaded, rehearse)
    whole = least
    for index, site in deep.items():
        for deeper, times in site.deeper:
            whole = whole.with_more(_rehearsed(shallow | {index: deeper}, loaded, rehearse), least, times)
    missing = sum(site.nbytes - shallow[index].nbytes for index, site in deep.items()) / GIB
    names = tuple(f"{site.model.name}, {site.layers} layers" for site in deep.values())
    return replace(whole, process=least.process + missing, shallow=names)


def _rehearsed(
    described: Mapping[int, SiteDescription], loaded: Mapping[int, Readable], rehearse: Rehearse
) -> Estimate:
    sites = {**loaded, **{index: site.drawn() for index, site in described.items()}}
    return rehearse([sites[index] for index in sorted(sites)])
