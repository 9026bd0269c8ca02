"""The complements of an alignment: the scores of what a subspace leaves behind, within one network.

rows of a site with itself --complement--> does the target keep its variable? --> a score beside the IIA
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from jaxtyping import Bool
from torch import Tensor

from causalign.alignment.schema import ComplementScore
from causalign.counterfactuals.complement import complement, whole_state
from causalign.counterfactuals.dataset import Counterfactuals
from causalign.counterfactuals.direction import Direction
from causalign.counterfactuals.interventions import interchange
from causalign.counterfactuals.row_source import RowRequest
from causalign.counterfactuals.rows import CounterfactualRows
from causalign.maps.base import AlignmentMap
from causalign.methods.base import Method
from causalign.run_context import RunContext
from causalign.scoring.iia import Line, by_variable, row_outcomes, share


@dataclass(frozen=True)
class Complements:
    """The outcomes of the complement within each network that has one."""

    outcomes: Mapping[Line, Bool[Tensor, " rows"]] = field(default_factory=dict)
    """Whether the expected output of the complement was produced, in each row that has one."""
    baseline: Mapping[Line, Bool[Tensor, " rows"]] = field(default_factory=dict)
    """The same with the whole state swapped, where the target keeps nothing."""
    left_out: Mapping[Line, int] = field(default_factory=dict)
    """The number of test rows that have no expected output of the complement."""
    reason: str | None = None
    """The reason why no network has a complement, or `None` if those that are scored within themselves have."""

    def scores(self, data: Counterfactuals) -> tuple[ComplementScore, ...]:
        """Return a score for each site and variable."""
        return tuple(self._score(data, *line) for line in self.left_out)

    def _score(self, data: Counterfactuals, direction: Direction, variable: int) -> ComplementScore:
        found, left_out = self.outcomes.get((direction, variable)), self.left_out[direction, variable]
        score = ComplementScore(
            site=data.names[direction.target], variable=data.variables.label(variable, direction), left_out=left_out
        )
        if found is None:
            return score
        value, low, high = share(found)
        whole, *_ = share(self.baseline[direction, variable])
        known = {"complement": value, "ci_low": low, "ci_high": high, "rows": len(found), "whole_swap": whole}
        return score.model_copy(update=known)


def complements(
    data: Counterfactuals,
    maps: Sequence[AlignmentMap],
    method: Method,
    rows: Mapping[Direction, CounterfactualRows],
    request: tuple[RowRequest, RunContext],
) -> Complements:
    """Score the complement within each network, on the rows on which its IIA is scored.

    Args:
        data: The dataset.
        maps: The map of each site.
        method: The method.
        rows: The rows of each scored direction.
        request: The request and the context by which these rows were made.
    """
    wanted, context = request
    within = tuple(direction for direction in rows if direction.source == direction.target)
    if not within:
        return Complements(reason=f"{method.label} scores no network within itself: it has no complement")
    if reason := without_complement(data, method):
        return Complements(reason=reason)
    of = data.rows(replace(wanted, directions=within, complement=True), context)
    outcomes, baseline = (
        by_variable(row_outcomes(data.sites, maps, swap, of), of) for swap in (complement, whole_state)
    )
    left_out = {
        (direction, variable): len(index) - len(outcomes.get((direction, variable), ()))
        for direction in within
        for variable, index in rows[direction].by_variable().items()
    }
    return Complements(outcomes, baseline, left_out)


def without_complement(data: Counterfactuals, method: Method) -> str | None:
    """Return the reason why a method has no complement on a dataset, or `None` if it has."""
    if method.intervention is not interchange:
        return f"{method.label} replaces the target's state otherwise than by an interchange: it has no complement"
    return data.without_complement
