"""Directions: ordered pairs of sites."""

from typing import NamedTuple


class Direction(NamedTuple):
    """From which site to which: two indices into a list of sites."""

    source: int
    target: int
