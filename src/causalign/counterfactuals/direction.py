"""Directions: ordered pairs of sites."""

from typing import NamedTuple


class Direction(NamedTuple):
    """An ordered pair source -> target: two indices into a list of sites."""

    source: int
    target: int
