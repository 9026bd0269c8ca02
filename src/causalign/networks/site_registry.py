"""The registry of sites: the classes that make the sites at the named places of networks.

Networks look up places here and sites register themselves here, so that neither imports the other. Modules that
register sites are found by the entry point group `causalign.sites`, to which other packages may add.
"""

from collections.abc import Callable, Mapping
from functools import cache
from importlib.metadata import entry_points
from typing import Any

GROUP = "causalign.sites"

SiteFactory = Callable[[Any, Any], Any]
"""A function from a network and a task to a site."""

_FACTORIES: dict[type, Callable[[Any], Mapping[str, SiteFactory]]] = {}


def register_site(network: type, places: Callable[[Any], Mapping[str, SiteFactory]]) -> None:
    """Register the sites of a class of networks, and of its subclasses.

    Args:
        network: The class of networks.
        places: A function from a network of that class to its places by name, each with a function from the network and
            a task to the site. Places of a subclass are added to those of its parents, or replace them.
    """
    _FACTORIES[network] = places


def site_factories(network: object) -> dict[str, SiteFactory]:
    """Return the places of a network by name, each with the function that makes its site."""
    _import_providers()
    found: dict[str, SiteFactory] = {}
    for kind in reversed(type(network).__mro__):
        if kind in _FACTORIES:
            found |= _FACTORIES[kind](network)
    return found


@cache
def _import_providers() -> None:
    """Import every module that registers sites."""
    for provider in entry_points(group=GROUP):
        provider.load()
