"""The table of methods: a method is a row, and the engine never asks for its name."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from causalign.counterfactuals.direction import Direction
from causalign.counterfactuals.interventions import Swap, interchange
from causalign.counterfactuals.interventions import replace as replace_state
from causalign.errors import InvalidArgument, lookup
from causalign.search.objectives import Objective, behaviour, latent


@dataclass(frozen=True)
class Roles:
    """What the sites of an alignment are to a method."""

    count: int
    inaccessible: int
    """The site whose network may be read but not run while maps are searched for."""
    eps: float
    """What the latent objective weighs beside the behaviour (equation 9)."""


Objectives = Callable[[Roles], dict[Direction, Objective]]
"""The trained directions, and what is minimised in each."""


@dataclass(frozen=True)
class Method:
    """Which directions are trained on what, what a swap does, and where the search begins."""

    name: str
    sites: int
    """How many sites it takes; at least so many if `more` do."""
    more: bool
    plan: Objectives
    swap: Swap
    untrained: Callable[[int], list[Direction]] = lambda count: []  # noqa: ARG005
    """Directions among so many sites that are scored all the same."""
    stepwise: bool = False
    """Whether the states of all positions up to the swap's are swapped."""
    start: str | None = None
    """The start that belongs to the method; by default, the one that is asked for."""
    searches: bool = True
    """Whether the maps are trained; otherwise the start is all."""

    def require_sites(self, count: int) -> None:
        """Check the number of sites.

        Raises:
            InvalidArgument: the method takes another number.
        """
        if count < self.sites or (count > self.sites and not self.more):
            least = "at least " if self.more else ""
            plural = "" if self.sites == 1 else "s"
            raise InvalidArgument(f"{self.name} takes {least}{self.sites} site{plural}, found {count}")


def every_direction(count: int) -> list[Direction]:
    """All n^2 ordered pairs, into oneself included."""
    return [Direction(source, target) for source in range(count) for target in range(count)]


def across(count: int) -> list[Direction]:
    """All ordered pairs of two different sites."""
    return [direction for direction in every_direction(count) if direction.source != direction.target]


def first_to_second(count: int) -> list[Direction]:
    """The one direction of a stitch."""
    del count
    return [Direction(0, 1)]


def second_to_first(count: int) -> list[Direction]:
    """The other one."""
    del count
    return [Direction(1, 0)]


def trained(directions: Callable[[int], list[Direction]], objective: Objective) -> Objectives:
    """The plan that minimises one objective in all of some directions."""
    return lambda roles: dict.fromkeys(directions(roles.count), objective)


def with_access(roles: Roles) -> dict[Direction, Objective]:
    """Behaviour of every target that may be run, latents of the one that may not (equations 7 to 9)."""
    latents = replace(latent, weight=roles.eps)
    return {d: latents if d.target == roles.inaccessible else behaviour for d in every_direction(roles.count)}


EVERYWHERE, STITCHED = trained(every_direction, behaviour), trained(first_to_second, behaviour)
LATENT = trained(first_to_second, latent)

METHODS = {
    method.name: method
    for method in (
        Method("mas", 2, True, EVERYWHERE, interchange),
        Method("mas-stepwise", 2, True, EVERYWHERE, interchange, stepwise=True),
        Method("clmas", 2, False, with_access, interchange),
        Method("das", 1, False, EVERYWHERE, interchange),
        Method("das-stepwise", 1, False, EVERYWHERE, interchange, stepwise=True),
        Method("stitch", 2, False, STITCHED, replace_state, untrained=second_to_first),
        Method("latent-stitch", 2, False, LATENT, replace_state, untrained=second_to_first),
        Method("procrustes", 2, True, trained(across, behaviour), replace_state, start="paired", searches=False),
    )
}


def method_of(method: str | Method) -> Method:
    """A row of the table by its name, or a row of one's own as it is.

    Raises:
        InvalidArgument: the table has no row of that name.
    """
    return method if isinstance(method, Method) else lookup("method", str(method), METHODS)
