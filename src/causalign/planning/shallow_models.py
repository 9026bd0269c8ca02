"""What an alignment of deep language models will take: rehearsed with shallow ones, and drawn out by their layers.

No weights are read, so that a model can be planned for which is too large for the machine, or has not been fetched.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from causalign.alignment.spec import AlignSpec, on_one_device
from causalign.memory import GIB
from causalign.planning.estimate import Estimate, plan
from causalign.sites.readable import Readable
from causalign.sites.transformers.description import SiteDescription
from causalign.sites.uri import describe_site, open_site

Rehearse = Callable[[Sequence[Readable]], Estimate]


def plan_of_spec(spec: AlignSpec) -> Estimate:
    """Estimate what an alignment by reference will take; language models of many layers are not loaded for it."""
    return plan_of(spec.network, lambda sites: plan(on_one_device(sites), **spec.arguments()))


def plan_of(references: Sequence[str], rehearse: Rehearse) -> Estimate:
    """The plan of sites by reference; language models of many layers are not loaded for it.

    Raises:
        CausalignError: a site cannot be opened, or not even a shallow model fits into memory.
    """
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
