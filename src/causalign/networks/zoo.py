"""Trained networks that come with the project."""

from dataclasses import dataclass
from pathlib import Path

from causalign.errors import InvalidArgument, unknown
from causalign.networks.base import Network
from causalign.networks.checkpoint import CARD, Card, load_network, read_card

_FOLDER = Path(__file__).parent / "_zoo"


@dataclass(frozen=True)
class Entry:
    """One shipped network."""

    name: str
    """Task and architecture: `multi-object/gru`."""
    seed: int
    card: Card
    folder: Path


def entries() -> list[Entry]:
    """All shipped networks, by name and seed."""
    folders = [path.parent for path in _FOLDER.glob(f"*/*/*/{CARD}")]
    found = [Entry(f.parent.relative_to(_FOLDER).as_posix(), int(f.name), read_card(f), f) for f in folders]
    return sorted(found, key=lambda entry: (entry.name, entry.seed))


def load(name: str, seed: int = 0) -> Network:
    """The shipped network `name` (`multi-object/gru`) trained from `seed`, frozen.

    Raises:
        InvalidArgument: no such network is shipped.
    """
    seeds = {entry.seed: entry for entry in entries() if entry.name == name}
    if not seeds:
        raise unknown("zoo network", name, sorted({entry.name for entry in entries()}))
    if seed not in seeds:
        raise InvalidArgument(f"the zoo has {name} with the seeds {', '.join(map(str, seeds))}, found {seed!r}")
    return load_network(seeds[seed].folder, name=f"{name}/{seed}")
