"""causalign compares neural networks by what their representations do."""

from causalign import networks, sites, tasks
from causalign._version import __version__
from causalign.errors import CausalignError
from causalign.evaluation import cka, compare, procrustes, rsa
from causalign.interchange import Direction, Interventions, interchange, replace
from causalign.maps import AlignmentMap
from causalign.networks import Network, load_network, train, zoo
from causalign.search import Settings
from causalign.sites import Site

__all__ = [
    "AlignmentMap",
    "CausalignError",
    "Direction",
    "Interventions",
    "Network",
    "Settings",
    "Site",
    "__version__",
    "cka",
    "compare",
    "interchange",
    "load_network",
    "networks",
    "procrustes",
    "replace",
    "rsa",
    "sites",
    "tasks",
    "train",
    "zoo",
]
