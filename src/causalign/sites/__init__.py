"""Sites: places in a network that can be read, swapped, and run on from."""

from causalign.sites._base import Continuation, Prepared, Site, finite
from causalign.sites._checks import check
from causalign.sites.recurrent import Embedding, HiddenState
from causalign.sites.reference import open_site

__all__ = ["Continuation", "Embedding", "HiddenState", "Prepared", "Site", "check", "finite", "open_site"]
