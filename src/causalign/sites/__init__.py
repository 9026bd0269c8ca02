"""Sites: places in a network that can be read, swapped, and run on from."""

from causalign.sites._base import Continuation, Places, Site, gathered, runnable
from causalign.sites._checks import check, check_on
from causalign.sites._readable import Prepared, Readable, finite
from causalign.sites.any_module import site_in
from causalign.sites.described import DescribedSite
from causalign.sites.hooked import Hooked
from causalign.sites.huggingface import HuggingFaceResidual
from causalign.sites.listing import sites_of
from causalign.sites.recording import Recording
from causalign.sites.recurrent import Embedding, HiddenState
from causalign.sites.reference import describe_site, open_site
from causalign.sites.transformer import Residual

__all__ = [
    "Continuation",
    "DescribedSite",
    "Embedding",
    "HiddenState",
    "Hooked",
    "HuggingFaceResidual",
    "Places",
    "Prepared",
    "Readable",
    "Recording",
    "Residual",
    "Site",
    "check",
    "check_on",
    "describe_site",
    "finite",
    "gathered",
    "open_site",
    "runnable",
    "site_in",
    "sites_of",
]
