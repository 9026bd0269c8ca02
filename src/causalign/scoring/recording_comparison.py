"""Correlational measures of recordings and other sites, which cannot read the same trials.

The mean states of each value of a variable are compared, over all trials. The trials of recordings are resampled for
intervals, and halved for a noise ceiling and for cross-validated distances.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from causalign.errors import CausalignError, InvalidArgument, lookup
from causalign.scoring.condition_means import ConditionMeans, Means, condition_means
from causalign.scoring.measure import Measure
from causalign.scoring.noise_ceiling import Halves, ceiling, halvings
from causalign.scoring.resampling import (
    Resamples,
    condition_interval,
    joint_interval,
    resample,
    trial_interval,
)
from causalign.similarity.rdm_correlation import rdm_correlation
from causalign.sites.readable import Readable
from causalign.sites.recordings.levels import require_same_levels
from causalign.sites.recordings.recording import Recording
from causalign.tasks.causal_model import require_settable

OVER = ("trials", "conditions", "both")
_NONE = (np.nan, np.nan)


def compare_averages(
    a: Readable,
    b: Readable,
    measures: Mapping[str, Measure],
    *,
    variable: str,
    seed: int,
    resamples: int,
    over: str = "trials",
) -> pd.DataFrame:
    """Compare the mean states of each value of a variable, over the values that both sites have.

    Args:
        a: A site.
        b: Another site.
        measures: Functions of two arrays of states, by name.
        variable: The variable by whose values states are averaged.
        seed: The seed of all random draws.
        resamples: The number of resamples of the trials.
        over: What the interval generalizes over: `trials`, `conditions` or `both`.

    Returns:
        A table with one row per measure: `measure, a, b, value, sd, draws, samples, ci_low, ci_high, ceiling_low,
        ceiling_high, trials, trials_left_out, values_left_out, repeated, note`. `sd` and the interval over trials are
        from `draws` resamples of the recorded trials (`trial_interval`); that over conditions is by the jackknife.
        `ceiling` describes the bounds of the score of a model without noise. `samples` is the number of values that are
        compared, and `values_left_out` the number of those that only one site has. `trials` is the number of recorded
        trials that are used, and `trials_left_out` that of the others. `repeated` is the number of resamples that were
        drawn again because a condition fell silent. `note` says why a number is NaN. The row `RSA (crossnobis)` is
        Pearson's correlation of cross-validated distances of the recorded states and squared distances of the others,
        which noise does not bias.

    Raises:
        InvalidArgument: The variables differ, numbers stand for other entries, or the sites share too few values.
    """
    lookup("kind of interval", over, dict.fromkeys(OVER))
    require_settable(a.task, variable, b.task, variable)
    require_same_levels(a, variable, b, variable)
    sides, shared_values, left_out = condition_means([a, b], variable, seed)
    means = [side.means() for side in sides]
    halves = [halvings(side, seed) for side in sides if side.recorded]
    values = {name: _value(measure, means) for name, measure in measures.items()}
    defined = {name: measures[name] for name, (value, _) in values.items() if not np.isnan(value)}
    single = any(side.recorded and side.by_trial and side.repeats.min() < 2 for side in sides)
    drawn = Resamples({}, 0) if single else resample(sides, defined, resamples, seed)
    about = _about(a, b, sides, left_out) | {"samples": len(shared_values), "repeated": drawn.repeated}
    rows = []
    for name, measure in measures.items():
        value, note = values[name]
        scores = drawn.scores.get(name, np.empty(0))
        low, high = _interval(measure, means, value, scores, over=over)
        bounds = ceiling(measure, halves)
        if not note and single and over != "conditions":
            note = "no interval: a value has a single trial"
        elif not note and np.isnan(bounds[0]):
            note = "no ceiling: " + ("halves need repeats" if measure.unbiased else "noise biases the measure")
        spread = float(scores.std(ddof=1)) if len(scores) > 1 else np.nan
        rows.append(
            {"measure": name, "value": value, "sd": spread, "draws": len(scores), "ci_low": low, "ci_high": high}
            | {"ceiling_low": bounds[0], "ceiling_high": bounds[1], "note": note}
        )
    rows.append(_crossnobis(sides, means, halves))
    table = pd.DataFrame([about | row for row in rows])
    first = ["measure", "a", "b", "value", "sd", "draws", "samples", "ci_low", "ci_high", "ceiling_low", "ceiling_high"]
    return table[[*first, "trials", "trials_left_out", "values_left_out", "repeated", "note"]]


def _value(measure: Measure, means: Sequence[Means]) -> tuple[float, str]:
    """Return the measure of the means, or NaN and the reason why it is undefined."""
    try:
        return measure(*means), ""
    except CausalignError as error:
        return np.nan, str(error)


def _interval(
    measure: Measure, means: Sequence[Means], value: float, scores: np.ndarray, *, over: str
) -> tuple[float, float]:
    if np.isnan(value) or (over != "conditions" and len(scores) < 2):
        return _NONE
    of_trials = _NONE if over == "conditions" else trial_interval(measure, value, scores)
    if over == "trials":
        return of_trials
    of_conditions = condition_interval(measure, means, value)
    return of_conditions if over == "conditions" else joint_interval(measure, value, of_trials, of_conditions)


def _about(a: Readable, b: Readable, sides: Sequence[ConditionMeans], left_out: int) -> dict[str, object]:
    recorded = [(site, side) for site, side in zip((a, b), sides, strict=True) if isinstance(site, Recording)]
    before = sum(count for site, _ in recorded for count in site.omissions.counts.values())
    return {
        "a": a.name,
        "b": b.name,
        "trials": sum(side.trials - side.left_out for _, side in recorded),
        "trials_left_out": before + sum(side.left_out for _, side in recorded),
        "values_left_out": left_out,
    }


def _crossnobis(sides: Sequence[ConditionMeans], means: Sequence[Means], halves: Sequence[Halves]) -> dict[str, object]:
    """Return the row of the correlation of cross-validated distances."""
    row: dict[str, object] = {"measure": "RSA (crossnobis)", "sd": np.nan, "draws": 0}
    row |= dict.fromkeys(("ci_low", "ci_high", "ceiling_low", "ceiling_high"), np.nan)
    remaining = iter(halves)
    rdms = []
    for side, mean in zip(sides, means, strict=True):
        pairs = next(remaining) if side.recorded else [(mean, mean)]
        if not pairs or len(pairs[0][0]) < len(mean):
            return row | {"value": np.nan, "note": "cross-validated distances need two trials of each value"}
        rdms.append(np.mean([_crossed(*pair) for pair in pairs], axis=0))
    try:
        return row | {"value": rdm_correlation(rdms[0], rdms[1], "pearson"), "note": "no interval"}
    except InvalidArgument as error:
        return row | {"value": np.nan, "note": str(error)}


def _crossed(first: Means, second: Means) -> np.ndarray:
    """Return (f_i - f_j) . (s_i - s_j) / width for each pair of conditions."""
    kernel = first @ second.T
    own = kernel.diagonal()
    distances = own[:, None] + own - kernel - kernel.T
    return distances[np.triu_indices(len(first), 1)] / first.shape[1]
