"""Sites: places in a network whose activations can be read, replaced, and run on from."""

from causalign.networks.site_registry import register_site
from causalign.sites.base import Continuation, Places, Site, require_site
from causalign.sites.checks import check, check_rows
from causalign.sites.modules import opener
from causalign.sites.modules.hooks import ModuleSite
from causalign.sites.modules.inventory import sites_of
from causalign.sites.modules.tensor_site import TensorSite
from causalign.sites.prefix import Prefix
from causalign.sites.readable import Readable, finite
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
    "TensorSite",
    "check",
    "check_rows",
    "describe_site",
    "finite",
    "open_site",
    "opener",
    "register_site",
    "require_site",
    "sites_of",
]
