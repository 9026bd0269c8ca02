"""The variables of a counterfactual dataset: what they are called at every site, and in tables."""

from collections.abc import Sequence
from dataclasses import dataclass

from causalign.counterfactuals.direction import Direction
from causalign.errors import InvalidArgument
from causalign.tasks.variable import Variable


@dataclass(frozen=True)
class Variables:
    """The variables of a dataset, in the order that the column `variable` of its rows indexes.

    Attributes:
        at_sites: For each variable, its name at every site.
    """

    at_sites: tuple[tuple[Variable, ...], ...]

    @classmethod
    def alike(cls, variables: Sequence[str | Variable], n_sites: int) -> "Variables":
        """Return variables with the same names at every site.

        Raises:
            InvalidArgument: There are none, one occurs twice, or one is not of the form of a variable.
        """
        names = [Variable.of(each) for each in variables]
        if not names or len(set(names)) < len(names):
            raise InvalidArgument(
                f"variables must be one or several different names; found {', '.join(map(str, names)) or 'none'}"
            )
        return cls(tuple((each,) * n_sites for each in names))

    def __len__(self) -> int:
        return len(self.at_sites)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the variables in tables. One that differs between sites has all of its names."""
        return tuple(" -> ".join(dict.fromkeys(map(str, names))) for names in self.at_sites)

    def label(self, variable: int, direction: Direction) -> str:
        """Return the name of a variable, by its index, in a direction: that at the target and, if it differs, both."""
        of_source, of_target = (self.at_sites[variable][site] for site in direction)
        return str(of_target) if of_target == of_source else f"{of_source} -> {of_target}"

    def of_site(self, site: int) -> tuple[Variable, ...]:
        """Return the variables as they are called at a site."""
        return tuple(names[site] for names in self.at_sites)
