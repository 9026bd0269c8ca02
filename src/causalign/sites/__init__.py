"""Sites: places in a network that can be read, swapped, and run on from."""

from causalign.sites.base import Continuation, Places, Site, gathered, require_site
from causalign.sites.checks import check, check_rows
from causalign.sites.modules.hooks import ModuleSite
from causalign.sites.modules.inventory import sites_of
from causalign.sites.modules.opener import site_in
from causalign.sites.readable import Prefix, Readable, finite
from causalign.sites.recordings.recording import Recording
from causalign.sites.recurrent.sites import Embedding, HiddenState
from causalign.sites.transformers.description import SiteDescription
from causalign.sites.transformers.huggingface import HuggingFaceResidual
from causalign.sites.transformers.transformer import Residual
from causalign.sites.uri import describe_site, open_site

__all__ = [
    "Continuation",
    "Embedding",
    "HiddenState",
    "HuggingFaceResidual",
    "ModuleSite",
    "Places",
    "Prefix",
    "Readable",
    "Recording",
    "Residual",
    "Site",
    "SiteDescription",
    "check",
    "check_rows",
    "describe_site",
    "finite",
    "gathered",
    "open_site",
    "require_site",
    "site_in",
    "sites_of",
]
