"""The table of methods: a method is a row, and the engine never asks for its name."""

from collections.abc import Callable
from dataclasses import dataclass

from causalign.errors import CausalignError, lookup
from causalign.interchange import Direction, Swap, interchange, replace
from causalign.search import Objective, behaviour


@dataclass(frozen=True)
class Method:
    """Which directions are trained, what is minimised, and what a swap does."""

    name: str
    sites: int
    """How many sites it takes; at least so many if `more` do."""
    more: bool
    directions: Callable[[int], list[Direction]]
    """The trained directions among n sites."""
    objective: Objective
    swap: Swap

    def require_sites(self, count: int) -> None:
        """Check the number of sites.

        Raises:
            CausalignError: the method takes another number.
        """
        if count < self.sites or (count > self.sites and not self.more):
            least = "at least " if self.more else ""
            plural = "" if self.sites == 1 else "s"
            raise CausalignError(f"{self.name} takes {least}{self.sites} site{plural}, found {count}")


def every_direction(count: int) -> list[Direction]:
    """All n^2 ordered pairs, into oneself included."""
    return [Direction(source, target) for source in range(count) for target in range(count)]


def first_to_second(count: int) -> list[Direction]:
    """The one direction of a stitch."""
    del count
    return [Direction(0, 1)]


METHODS = {
    method.name: method
    for method in (
        Method("mas", 2, True, every_direction, behaviour, interchange),
        Method("das", 1, False, every_direction, behaviour, interchange),
        Method("stitch", 2, False, first_to_second, behaviour, replace),
    )
}


def method_of(method: str | Method) -> Method:
    """A row of the table by its name, or a row of one's own as it is.

    Raises:
        CausalignError: the table has no row of that name.
    """
    return method if isinstance(method, Method) else lookup("method", method, METHODS)
