"""The search for alignment maps: objectives, a start in closed form, and the loop."""

from causalign.search.closed_form import class_means, generalised_procrustes
from causalign.search.looks import Look
from causalign.search.loop import Found, Search, Stopped, search
from causalign.search.objective import Objective, behaviour, latent
from causalign.search.optimisers import OPTIMISERS
from causalign.search.problem import Problem
from causalign.search.sampling import sample_directions
from causalign.search.settings import Settings

__all__ = [
    "OPTIMISERS",
    "Found",
    "Look",
    "Objective",
    "Problem",
    "Search",
    "Settings",
    "Stopped",
    "behaviour",
    "class_means",
    "generalised_procrustes",
    "latent",
    "sample_directions",
    "search",
]
