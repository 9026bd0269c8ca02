"""Sites by name, as a command line or a file gives them."""

from pathlib import Path

from causalign.errors import CausalignError
from causalign.networks import Network, load_network, zoo
from causalign.sites._readable import Readable
from causalign.sites.recording_file import open_recording

ZOO = "zoo:"
DESCRIPTION = ".toml"


def open_site(reference: str) -> Readable:
    """The site that a reference names: `zoo:multi-object/gru/1@hidden`, or `path/to/a/saved/network@embedding`.

    Without a seed the zoo's network of seed 0 is meant, without `@` the hidden state. A file `*.toml` describes a
    recording.

    Raises:
        CausalignError: there is no such network, or it has no such site.
    """
    if reference.endswith(DESCRIPTION):
        return open_recording(Path(reference))
    network, _, at = reference.rpartition("@")
    if not network or "/" in at:  # no site is named; an @ before the last slash belongs to the path
        network, at = reference, "hidden"
    return _network(network).site(at)


def _network(reference: str) -> Network:
    if not reference.startswith(ZOO):
        if not Path(reference).exists():
            raise CausalignError(
                f"{reference}: no such folder; shipped networks are named {ZOO}{zoo.entries()[0].name}/0, and the like"
            )
        return load_network(Path(reference))
    name, _, seed = reference.removeprefix(ZOO).rpartition("/")
    return zoo.load(name, int(seed)) if seed.isascii() and seed.isdigit() else zoo.load(reference.removeprefix(ZOO))
