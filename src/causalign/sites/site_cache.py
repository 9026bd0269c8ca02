"""A cache of sites by reference: a process that runs many alignments opens each network once."""

from collections import OrderedDict
from dataclasses import dataclass, field

from causalign.sites.base import Site
from causalign.sites.readable import Readable
from causalign.sites.uri import DESCRIPTION, OpenedNetwork, network_and_place, open_network, open_site

_NETWORKS = 4  # a pair of networks, and the pair that comes next


@dataclass
class _Entry:
    opened: OpenedNetwork
    sites: dict[str, Readable] = field(default_factory=dict)


class SiteCache:
    """The sites of the networks that were used last.

    Args:
        networks: The number of networks that are kept, with their sites.
    """

    def __init__(self, networks: int = _NETWORKS) -> None:
        self._most = networks
        self._entries: OrderedDict[tuple[str, bool], _Entry] = OrderedDict()

    def network(self, named: str, *, with_task: bool = True) -> OpenedNetwork:
        """Return the network that the reference of a site names in front of its place.

        Raises:
            CausalignError: It cannot be opened.
        """
        return self._entry(named, with_task).opened

    def open(self, reference: str, *, with_task: bool = True) -> Readable:
        """Return the site that a reference names, as `open_site` does.

        Raises:
            CausalignError: It cannot be opened.
        """
        if reference.endswith(DESCRIPTION):
            return open_site(reference)
        named, at = network_and_place(reference)
        entry = self._entry(named, with_task)
        site = entry.sites.get(at)
        if not isinstance(site, Site) or site.made_for != (site.device, site.dtype):  # its network may have been moved
            site = entry.sites[at] = entry.opened.site(at)
        return site

    def _entry(self, named: str, with_task: bool) -> _Entry:
        key = (named, with_task)
        if key not in self._entries:
            while len(self._entries) >= self._most:
                self._entries.popitem(last=False)
            self._entries[key] = _Entry(open_network(named, with_task=with_task))
        self._entries.move_to_end(key)
        return self._entries[key]


SITES = SiteCache()
"""The sites of this process."""
