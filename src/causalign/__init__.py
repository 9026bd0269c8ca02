"""causalign compares neural networks by what their representations do.

    alignment = causalign.align([a.site("hidden"), b.site("hidden")], variable="full", method="mas", rank=16, seed=0)

finds in each frozen network the subspace that carries a variable, swaps its contents between the networks, and says how
often each then behaves as if the information had been its own (interchange intervention accuracy, `alignment.iia`).
"""

from causalign import networks, sites, tasks
from causalign._version import __version__
from causalign.alignment import METHODS, Alignment, Method, Plan, align, load_alignment, plan, recording_controls, score
from causalign.errors import CausalignError
from causalign.evaluation import cka, compare, procrustes, rsa
from causalign.interchange import Direction, Interventions, interchange, replace
from causalign.maps import AlignmentMap
from causalign.networks import Network, load_network, train, zoo
from causalign.recordings import Preprocess, Preprocessing
from causalign.search import Settings
from causalign.sites import Recording, sites_of
from causalign.sites import site_in as Site  # noqa: N812 (what one asks for is a site)

__all__ = [
    "METHODS",
    "Alignment",
    "AlignmentMap",
    "CausalignError",
    "Direction",
    "Interventions",
    "Method",
    "Network",
    "Plan",
    "Preprocess",
    "Preprocessing",
    "Recording",
    "Settings",
    "Site",
    "__version__",
    "align",
    "cka",
    "compare",
    "interchange",
    "load_alignment",
    "load_network",
    "networks",
    "plan",
    "procrustes",
    "recording_controls",
    "replace",
    "rsa",
    "score",
    "sites",
    "sites_of",
    "tasks",
    "train",
    "zoo",
]
