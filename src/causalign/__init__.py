"""causalign compares neural networks by what their representations do.

    alignment = causalign.align([a.site("hidden"), b.site("hidden")], variable="full", method="mas", rank=16, seed=0)

finds in each frozen network the subspace that carries a variable, swaps its contents between the networks, and says how
often each then behaves as if the information had been its own (interchange intervention accuracy, `alignment.iia`).
"""

from causalign import networks, sites, tasks
from causalign.alignment.align import align
from causalign.alignment.methods import METHODS, Method
from causalign.alignment.recording_controls import recording_controls
from causalign.alignment.result import Alignment, load_alignment
from causalign.alignment.score import score
from causalign.counterfactuals.dataset import Counterfactuals
from causalign.counterfactuals.direction import Direction
from causalign.counterfactuals.from_table import TextPosition
from causalign.counterfactuals.inputs import PerSite
from causalign.counterfactuals.interventions import interchange, replace
from causalign.counterfactuals.rows import CounterfactualRows
from causalign.errors import CausalignError, FileFormatError, InvalidArgument, MissingDependency, OutOfMemory
from causalign.maps.base import AlignmentMap
from causalign.networks import zoo
from causalign.networks.base import Network
from causalign.networks.checkpoint import load_network
from causalign.networks.training import train
from causalign.planning.estimate import Estimate, plan
from causalign.recordings.preprocessing import Preprocess, Preprocessing
from causalign.scoring.comparison import compare
from causalign.search.config import SearchConfig
from causalign.similarity.cka import cka
from causalign.similarity.procrustes import procrustes
from causalign.similarity.rsa import rsa
from causalign.sites.base import Site
from causalign.sites.modules.inventory import sites_of
from causalign.sites.recordings.recording import Recording
from causalign.version import __version__

__all__ = [
    "METHODS",
    "Alignment",
    "AlignmentMap",
    "CausalignError",
    "CounterfactualRows",
    "Counterfactuals",
    "Direction",
    "Estimate",
    "FileFormatError",
    "InvalidArgument",
    "Method",
    "MissingDependency",
    "Network",
    "OutOfMemory",
    "PerSite",
    "Preprocess",
    "Preprocessing",
    "Recording",
    "SearchConfig",
    "Site",
    "TextPosition",
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
