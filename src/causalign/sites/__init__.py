"""Sites: places in a network that can be read, swapped, and run on from."""

from causalign.sites._base import Continuation, Places, Prepared, Site, finite, gathered
from causalign.sites._checks import check, check_on
from causalign.sites.huggingface import HuggingFaceResidual
from causalign.sites.recurrent import Embedding, HiddenState
from causalign.sites.reference import open_site
from causalign.sites.transformer import Residual

__all__ = [
    "Continuation",
    "Embedding",
    "HiddenState",
    "HuggingFaceResidual",
    "Places",
    "Prepared",
    "Residual",
    "Site",
    "check",
    "check_on",
    "finite",
    "gathered",
    "open_site",
]
