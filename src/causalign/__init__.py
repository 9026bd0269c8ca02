"""causalign compares neural networks by what their representations do."""

from causalign import networks, sites, tasks
from causalign._version import __version__
from causalign.errors import CausalignError
from causalign.maps import AlignmentMap
from causalign.networks import Network, load_network, train, zoo
from causalign.sites import Site

__all__ = [
    "AlignmentMap",
    "CausalignError",
    "Network",
    "Site",
    "__version__",
    "load_network",
    "networks",
    "sites",
    "tasks",
    "train",
    "zoo",
]
