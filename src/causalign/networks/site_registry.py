"""The registry of sites: the classes that make the sites at the named places of networks.

Networks look up places here and sites register themselves here, so that neither imports the other. Modules that
register sites are found by the entry point group `causalign.sites`, to which other packages may add.
"""

from collections.abc import Callable, Mapping
from functools import cache
from importlib.metadata import entry_points
from typing import Any

from causalign.errors import unknown

GROUP = "causalign.sites"

SiteFactory = Callable[[Any, Any], Any]
"""A function from a network and a task to a site."""

_FACTORIES: dict[type, Callable[[Any], Mapping[str, SiteFactory]]] = {}
_PARSERS: dict[type, Callable[[Any, str], SiteFactory]] = {}


def register_site(
    network: type,
    places: Callable[[Any], Mapping[str, SiteFactory]],
    parser: Callable[[Any, str], SiteFactory] | None = None,
) -> None:
    """Register the sites of a class of networks, and of its subclasses.

    Args:
        network: The class of networks.
        places: A function from a network of that class to its places by name, each with a function from the network and
            a task to the site. Places of a subclass are added to those of its parents, or replace them.
        parser: A function from a network of that class and another name to the function that makes its site, for places
            that are too many to be listed, such as slices. It raises `InvalidArgument` if there is no such place.
    """
    _FACTORIES[network] = places
    if parser is not None:
        _PARSERS[network] = parser


def site_factories(network: object) -> dict[str, SiteFactory]:
    """Return the places of a network by name, each with the function that makes its site."""
    _import_providers()
    found: dict[str, SiteFactory] = {}
    for kind in reversed(type(network).__mro__):
        if kind in _FACTORIES:
            found |= _FACTORIES[kind](network)
    return found


def site_factory(network: Any, at: str) -> SiteFactory:
    """Return the function that makes the site at a place of a network.

    Args:
        network: The network.
        at: The name of the place.

    Raises:
        InvalidArgument: There is no such place.
    """
    table = site_factories(network)
    if at in table:
        return table[at]
    parser = next((_PARSERS[kind] for kind in type(network).__mro__ if kind in _PARSERS), None)
    if parser is None:
        raise unknown(f"site of {network.name}", at, table)
    return parser(network, at)


@cache
def _import_providers() -> None:
    """Import every module that registers sites."""
    for provider in entry_points(group=GROUP):
        provider.load()
