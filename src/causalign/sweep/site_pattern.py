"""Patterns of site references: `hf:PATH@layer.*`, `zoo:multi-object/gru/*@hidden`, `runs/*@hidden`, `brains/*.toml`.

A `*` stands for any part of a name without a dot, or of a path without a slash.
"""

import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from causalign.errors import InvalidArgument
from causalign.networks import zoo
from causalign.networks.checkpoint import CARD
from causalign.networks.site_registry import site_factories
from causalign.sites.site_cache import SITES
from causalign.sites.uri import DESCRIPTION, HUGGING_FACE, ZOO, network_and_place

_SHOWN = 6  # names in an error message


def is_pattern(reference: str) -> bool:
    """Whether a reference stands for several sites."""
    return "*" in reference


@cache
def matching_sites(reference: str, with_task: bool = True) -> tuple[str, ...]:
    """Return the references that a pattern stands for, in natural order; of another reference, itself.

    Args:
        reference: The reference, whose network and place may each have a `*`.
        with_task: Whether a language model reads the in-context task.

    Raises:
        InvalidArgument: Nothing matches.
        CausalignError: A network whose places are matched cannot be opened.
    """
    if not is_pattern(reference):
        return (reference,)
    if reference.endswith(DESCRIPTION):
        return _files(reference)
    named, at = network_and_place(reference)
    networks = _networks(named) if is_pattern(named) else [named]
    if not is_pattern(at):
        return tuple(f"{each}@{at}" for each in networks)
    return tuple(f"{each}@{place}" for each in networks for place in _places(each, at, with_task))


def matching_files(pattern: str) -> tuple[str, ...]:
    """Return the files that a pattern stands for, in natural order; of another path, itself.

    Raises:
        InvalidArgument: Nothing matches.
    """
    return _files(pattern) if is_pattern(pattern) else (pattern,)


def _files(pattern: str) -> tuple[str, ...]:
    return _required(pattern, (str(path) for path in _glob(pattern)), "there is no such file")


def _networks(named: str) -> tuple[str, ...]:
    if named.startswith(HUGGING_FACE):
        path, *options = named.removeprefix(HUGGING_FACE).split(",")
        folders = (str(each.parent) for each in _glob(f"{path}/config.json"))
        found = (",".join([HUGGING_FACE + folder, *options]) for folder in folders)
        return _required(named, found, "no folder of a model matches; names on the hub have no patterns")
    if named.startswith(ZOO):
        entries = [f"{ZOO}{entry.name}/{entry.seed}" for entry in zoo.entries()]
        pattern, *options = named.split(",")
        found = (",".join([each, *options]) for each in entries if _matcher(pattern, "/").fullmatch(each))
        return _required(named, found, f"the zoo has {_listed(entries)}")
    return _required(named, (str(each.parent) for each in _glob(f"{named}/{CARD}")), "no folder of a network matches")


def _places(named: str, at: str, with_task: bool) -> tuple[str, ...]:
    places = list(site_factories(SITES.network(named, with_task=with_task).network))
    matcher = _matcher(at, ".")
    return _required(f"{named}@{at}", filter(matcher.fullmatch, places), f"its places are {_listed(places)}")


def _glob(pattern: str) -> Iterable[Path]:
    path = Path(pattern)
    return Path(path.anchor).glob(str(path.relative_to(path.anchor)))


def _matcher(pattern: str, separator: str) -> re.Pattern[str]:
    return re.compile(f"[^{re.escape(separator)}]*".join(map(re.escape, pattern.split("*"))))


def _required(pattern: str, found: Iterable[str], otherwise: str) -> tuple[str, ...]:
    names = tuple(sorted(found, key=_natural))
    if not names:
        raise InvalidArgument(f"{pattern} matches nothing: {otherwise}")
    return names


def _natural(name: str) -> list[tuple[int, str]]:
    """The key by which `layer.2` comes before `layer.10`."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]


def _listed(names: list[str]) -> str:
    shown = ", ".join(names[:_SHOWN])
    return shown if len(names) <= _SHOWN else f"{shown} and {len(names) - _SHOWN} others"
