"""The zoo: trained networks that come with the package, and with others such as `causalign-zoo`.

A package adds networks by an entry point of the group `causalign.zoo` that names its module, in whose folder they are:
`networks/TASK/ARCHITECTURE/SEED/card.json`. The task must be one of this package.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path

from causalign.errors import InvalidArgument, unknown
from causalign.networks.base import Network
from causalign.networks.checkpoint import CARD, Card, load_network, read_card

GROUP = "causalign.zoo"
_OTHERS = "causalign-zoo"
_OWN = Path(__file__).parent / "_zoo"
_NETWORKS = "networks"


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
    found = [
        Entry(
            path.parent.parent.relative_to(root).as_posix(), int(path.parent.name), read_card(path.parent), path.parent
        )
        for root in _roots()
        for path in root.glob(f"*/*/*/{CARD}")
    ]
    return sorted(found, key=lambda entry: (entry.name, entry.seed))


def folder(name: str, seed: int = 0) -> Path:
    """Return the folder of a network of the zoo. The arguments and the errors are those of `load`."""
    seeds = {entry.seed: entry for entry in entries() if entry.name == name}
    if seed in seeds:
        return seeds[seed].folder
    more = "" if _others_are_there() else f" (pip install 'causalign[zoo]' brings those of {_OTHERS})"
    if not seeds:
        known = unknown("zoo network", name, sorted({entry.name for entry in entries()}))
        raise InvalidArgument(f"{known}{more}")
    raise InvalidArgument(f"the zoo has {name} with the seeds {', '.join(map(str, seeds))}, found {seed!r}{more}")


def load(name: str, seed: int = 0) -> Network:
    """Load a network of the zoo and freeze it.

    Args:
        name: The task and the architecture, such as `"multi-object/gru"`.
        seed: The seed of its training.

    Raises:
        InvalidArgument: The zoo has no network of this name, or none of this seed.
    """
    return load_network(folder(name, seed), name=f"{name}/{seed}")


@cache
def _roots() -> tuple[Path, ...]:
    """Return the folders of networks: that of this package, and those of other packages."""
    return (_OWN, *_of_others())


def _of_others() -> Iterator[Path]:
    for each in entry_points(group=GROUP):
        spec = find_spec(each.module)
        for place in (spec.submodule_search_locations or ()) if spec else ():
            yield Path(place) / _NETWORKS


def _others_are_there() -> bool:
    return len(_roots()) > 1
