"""The public names, imported when they are first used. `__init__.py` reads this list, and type checkers do."""

from . import callbacks, networks, sites, tasks
from .alignment.align import align
from .alignment.config import AlignmentConfig
from .alignment.recording_controls import recording_controls
from .alignment.result import Alignment, load_alignment, score
from .alignment.score_tests import compare_scores
from .callbacks.tracker import Tracker
from .callbacks.update import ProgressUpdate
from .counterfactuals.dataset import Counterfactuals
from .counterfactuals.direction import Direction
from .counterfactuals.from_table import TextPosition
from .counterfactuals.inputs import PerSite
from .counterfactuals.interventions import interchange, replace
from .counterfactuals.rows import CounterfactualRows
from .errors import (
    CausalignError,
    DataWarning,
    FileFormatError,
    InvalidArgument,
    MissingDependency,
    OutOfMemory,
    SearchWarning,
)
from .maps.base import AlignmentMap
from .maps.features import Features
from .maps.position_map import PositionMap
from .methods.base import Method
from .methods.clmas import CLMAS
from .methods.das import DAS
from .methods.dbm import DBM
from .methods.mas import MAS
from .methods.procrustes import Procrustes
from .methods.registry import METHODS, register_method
from .methods.stitch import LatentStitch, Stitch
from .networks import zoo
from .networks.base import Network
from .networks.checkpoint import load_network
from .networks.regression import Regression
from .networks.training import train
from .planning.estimate import Estimate, estimate
from .readings.shared_readings import SharedReadings
from .recordings.preprocessing import Preprocess, Preprocessing
from .scoring.comparison import compare
from .scoring.comparison_matrix import comparison_matrix
from .scoring.crossed_pairs import PairMean, pair_difference, pair_mean
from .scoring.metrics import RowOutputs
from .scoring.model_comparison import compare_models
from .scoring.score_comparison import ScoreComparison
from .scoring.worst_interval import worst_interval
from .search.boundary_rank import BoundaryRank
from .search.config import SearchConfig
from .search.objectives import Objective
from .search.rank_selection import BestRank, Blocks, SmallestRank
from .search.stop_reason import StopReason
from .similarity.cka import cka
from .similarity.crossnobis import crossnobis, noise_precision
from .similarity.matrix import similarity_matrix
from .similarity.procrustes import procrustes
from .similarity.rdm_correlation import noise_ceiling, rdm_correlation
from .similarity.rsa import rdm, rsa
from .sites.base import Site
from .sites.modules.inventory import sites_of
from .sites.recordings.recording import Recording
from .sweep.ray_workers import RayWorkers
from .sweep.result import Sweep, load_sweep
from .sweep.slurm_workers import SlurmWorkers
from .sweep.sweep import sweep
from .version import __version__

__all__ = [
    "CLMAS",
    "DAS",
    "DBM",
    "MAS",
    "METHODS",
    "Alignment",
    "AlignmentConfig",
    "AlignmentMap",
    "BestRank",
    "Blocks",
    "BoundaryRank",
    "CausalignError",
    "CounterfactualRows",
    "Counterfactuals",
    "DataWarning",
    "Direction",
    "Estimate",
    "Features",
    "FileFormatError",
    "InvalidArgument",
    "LatentStitch",
    "Method",
    "MissingDependency",
    "Network",
    "Objective",
    "OutOfMemory",
    "PairMean",
    "PerSite",
    "PositionMap",
    "Preprocess",
    "Preprocessing",
    "Procrustes",
    "ProgressUpdate",
    "RayWorkers",
    "Recording",
    "Regression",
    "RowOutputs",
    "ScoreComparison",
    "SearchConfig",
    "SearchWarning",
    "SharedReadings",
    "Site",
    "SlurmWorkers",
    "SmallestRank",
    "Stitch",
    "StopReason",
    "Sweep",
    "TextPosition",
    "Tracker",
    "__version__",
    "align",
    "callbacks",
    "cka",
    "compare",
    "compare_models",
    "compare_scores",
    "comparison_matrix",
    "crossnobis",
    "estimate",
    "interchange",
    "load_alignment",
    "load_network",
    "load_sweep",
    "networks",
    "noise_ceiling",
    "noise_precision",
    "pair_difference",
    "pair_mean",
    "procrustes",
    "rdm",
    "rdm_correlation",
    "recording_controls",
    "register_method",
    "replace",
    "rsa",
    "score",
    "similarity_matrix",
    "sites",
    "sites_of",
    "sweep",
    "tasks",
    "train",
    "worst_interval",
    "zoo",
]
