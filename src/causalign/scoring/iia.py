"""Interchange intervention accuracy."""

import math
from collections.abc import Mapping, Sequence

import pandas as pd
import torch
from jaxtyping import Bool
from torch import Tensor

from causalign.counterfactuals.direction import Direction
from causalign.counterfactuals.interventions import Swap, intervene
from causalign.counterfactuals.rows import CounterfactualRows
from causalign.counterfactuals.variables import Variables
from causalign.engine.run import run_interventions
from causalign.maps.base import AlignmentMap
from causalign.sites.readable import Readable
from causalign.storage import forget_mapped_pages

AT_ONCE = 2048
"""The number of rows that are run together, which bounds the memory."""
Line = tuple[Direction, int]
"""A line of a table of scores: a direction, and the index of a variable."""
_CONFIDENCE = 0.95


def row_outcomes(
    sites: Sequence[Readable],
    maps: Sequence[AlignmentMap],
    swap: Swap,
    rows: Mapping[Direction, CounterfactualRows],
) -> dict[Direction, Bool[Tensor, " rows"]]:
    """Return whether the target predicts every scored token of the expected output after the swap, for each row.

    The expected tokens are fed in one parallel pass. The outcomes are those of free-running generation: up to the first
    error the expected token is the predicted one, and after an error the row is incorrect either way.

    Args:
        sites: The sites.
        maps: The alignment map of each site.
        swap: The intervention.
        rows: The rows of each direction.
    """
    correct = {}
    with torch.no_grad():
        for direction, of_direction in rows.items():
            source, target = (maps[index] for index in direction)
            parts = []
            for chunk in torch.arange(len(of_direction)).split(AT_ONCE):
                batch = of_direction.take(chunk)
                swapped = intervene(swap, batch, target, source)
                parts.append(run_interventions(sites[direction.target], [batch], [swapped]).correct())
                forget_mapped_pages()
            correct[direction] = torch.cat(parts)
    return correct


def by_variable(
    correct: Mapping[Direction, Bool[Tensor, " _"]], rows: Mapping[Direction, CounterfactualRows]
) -> dict[Line, Bool[Tensor, " _"]]:
    """Return the outcomes of the rows of each direction by the rows' variable as well."""
    return {
        (direction, variable): outcomes[index.to(outcomes.device)]
        for direction, outcomes in correct.items()
        for variable, index in rows[direction].by_variable().items()
    }


def worst(correct: Mapping[Line, Bool[Tensor, " _"]]) -> float:
    """Return the IIA of the worst direction and variable, the headline score."""
    return min(float(trials.double().mean()) for trials in correct.values())


def iia_table(
    names: Sequence[str],
    variables: Variables,
    correct: Mapping[Line, Bool[Tensor, " _"]],
    baseline: Mapping[Line, Bool[Tensor, " _"]] | None = None,
    complement: Mapping[Line, Bool[Tensor, " _"]] | None = None,
) -> pd.DataFrame:
    """Return a table with the IIA of each direction and variable, and its 95 % Wilson interval.

    Args:
        names: The names of the sites.
        variables: The variables.
        correct: The outcomes of the rows of each direction and variable.
        baseline: The outcomes of the same rows with nothing swapped.
        complement: The outcomes of the complement, for the lines that have one.

    Returns:
        The columns `source, target, variable, iia, ci_low, ci_high, rows`; with a baseline, `no_swap`; and with
        complements `complement`, which is NaN where there is none.
    """
    lines = []
    for (direction, variable), outcomes in correct.items():
        line = {
            "source": names[direction.source],
            "target": names[direction.target],
            "variable": variables.label(variable, direction),
            **dict(zip(("iia", "ci_low", "ci_high"), share(outcomes), strict=True)),
            "rows": len(outcomes),
        }
        if baseline is not None:
            line["no_swap"] = float(baseline[direction, variable].double().mean())
        if complement is not None:
            kept = complement.get((direction, variable))
            line["complement"] = math.nan if kept is None else share(kept)[0]
        lines.append(line)
    return pd.DataFrame(lines)


def share(outcomes: Bool[Tensor, " rows"]) -> tuple[float, float, float]:
    """Return the share of correct rows, and the two ends of its 95 % Wilson interval."""
    from scipy.stats import binomtest  # takes half a second to import

    test = binomtest(int(outcomes.sum()), len(outcomes))
    interval = test.proportion_ci(_CONFIDENCE, method="wilson")
    return float(test.statistic), float(interval.low), float(interval.high)
