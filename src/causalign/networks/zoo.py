"""The zoo: trained networks that are shipped with the package."""

from dataclasses import dataclass
from pathlib import Path

from causalign.errors import InvalidArgument, unknown
from causalign.networks.base import Network
from causalign.networks.checkpoint import CARD, Card, load_network, read_card

_FOLDER = Path(__file__).parent / "_zoo"


@dataclass(frozen=True)
class Entry:
    """A network of the zoo."""

    name: str
    """The task and the architecture, such as `multi-object/gru`."""
    seed: int
    card: Card
    folder: Path


def entries() -> list[Entry]:
    """Return all networks of the zoo, sorted by name and seed."""
    folders = [path.parent for path in _FOLDER.glob(f"*/*/*/{CARD}")]
    found = [Entry(f.parent.relative_to(_FOLDER).as_posix(), int(f.name), read_card(f), f) for f in folders]
    return sorted(found, key=lambda entry: (entry.name, entry.seed))


def load(name: str, seed: int = 0) -> Network:
    """Load a network of the zoo and freeze it.

    Args:
        name: The task and the architecture, such as `"multi-object/gru"`.
        seed: The seed of its training.

    Raises:
        InvalidArgument: The zoo has no network of this name, or none of this seed.
    """
    seeds = {entry.seed: entry for entry in entries() if entry.name == name}
    if not seeds:
        raise unknown("zoo network", name, sorted({entry.name for entry in entries()}))
    if seed not in seeds:
        raise InvalidArgument(f"the zoo has {name} with the seeds {', '.join(map(str, seeds))}, found {seed!r}")
    return load_network(seeds[seed].folder, name=f"{name}/{seed}")
