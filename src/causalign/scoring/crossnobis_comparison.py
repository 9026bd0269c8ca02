"""Correlations of cross-validated distances, which noise does not bias, with their intervals."""

from collections.abc import Sequence
from functools import partial

import numpy as np
from jaxtyping import Float

from causalign.errors import InvalidArgument
from causalign.scoring.condition_means import FEWEST, ConditionMeans
from causalign.scoring.measure import Measure
from causalign.scoring.resampling import interval, repeat
from causalign.scoring.trial_products import Kernel, TrialProducts, complete
from causalign.similarity.rdm_correlation import rdm_correlation

MEASURES: dict[str, Measure] = {
    "RSA (crossnobis)": Measure(partial(rdm_correlation, method="pearson")),
    "RSA (whitened correlation)": Measure(partial(rdm_correlation, method="whitened")),
    "RSA (whitened cosine)": Measure(partial(rdm_correlation, method="whitened-cosine")),
}
"""The correlations of two RDMs, by the name of their row."""
_NO_CEILING = "no ceiling: the distances are cross-validated already"


def crossnobis_rows(sides: Sequence[ConditionMeans], resamples: int, seed: int, over: str) -> list[dict[str, object]]:
    """Return a row for each correlation of the cross-validated distances of two sites.

    The intervals are those of the other measures: over trials by resampling, over conditions by the jackknife. A
    condition of which a single trial is drawn has no cross-validated distance, and is left out of that draw.

    Args:
        sides: The states of both sites.
        resamples: The number of resamples of the trials.
        seed: The seed of all random draws.
        over: What the interval generalizes over: `trials`, `conditions` or `both`.
    """
    products = [TrialProducts(side) for side in sides]
    distances = [each.distances() for each in products]
    empty: dict[str, object] = {"sd": np.nan, "draws": 0, "repeated": 0}
    empty |= dict.fromkeys(("value", "ci_low", "ci_high", "ceiling_low", "ceiling_high"), np.nan)
    if not complete(distances).all():
        note = "cross-validated distances need two trials of each value"
        return [{"measure": name} | empty | {"note": note} for name in MEASURES]

    def scores(rng: np.random.Generator) -> list[float]:
        drawn = [each.distances(each.side.times(rng)) if each.side.recorded else each.distances() for each in products]
        return [measure(*rdms(drawn)) for measure in MEASURES.values()]

    try:
        values = {name: measure(*rdms(distances)) for name, measure in MEASURES.items()}
    except InvalidArgument as error:
        return [{"measure": name} | empty | {"note": str(error)} for name in MEASURES]
    rows, drawn = [], repeat(scores, list(MEASURES), resamples, seed)
    for name, measure in MEASURES.items():
        of_draws = drawn.scores[name]
        without = partial(_without, measure, distances)
        low, high = interval(measure, values[name], of_draws, without, count=len(distances[0]), over=over)
        spread = float(of_draws.std(ddof=1)) if len(of_draws) > 1 else np.nan
        row = {"measure": name} | empty | {"value": values[name], "sd": spread, "draws": len(of_draws)}
        rows.append(row | {"ci_low": low, "ci_high": high, "repeated": drawn.repeated, "note": _NO_CEILING})
    return rows


def _without(measure: Measure, distances: Sequence[Kernel], out: int) -> float:
    return measure(*rdms([np.delete(np.delete(each, out, axis=0), out, axis=1) for each in distances]))


def rdms(distances: Sequence[Kernel]) -> list[Float[np.ndarray, " pairs"]]:
    """Return the distances of all pairs of conditions that have two distinct trials in all matrices.

    Raises:
        InvalidArgument: There are too few.
    """
    there = complete(distances)
    if there.sum() < FEWEST:
        raise InvalidArgument(f"only {there.sum()} conditions have two trials")
    return [each[np.ix_(there, there)][np.triu_indices(int(there.sum()), 1)] for each in distances]
