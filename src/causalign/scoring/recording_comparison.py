"""Correlational measures of recordings and other sites, which cannot read the same trials.

The mean states of each value of a variable are compared, over all trials. The trials of recordings are resampled for
intervals, and halved for a noise ceiling and for cross-validated distances.
"""

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
import pandas as pd

from causalign.errors import CausalignError, lookup
from causalign.scoring.condition_means import ConditionMeans, Means, condition_means
from causalign.scoring.crossnobis_comparison import crossnobis_rows
from causalign.scoring.measure import Measure
from causalign.scoring.noise_ceiling import ceiling, halvings
from causalign.scoring.resampling import Resamples, interval, resample
from causalign.sites.readable import Readable
from causalign.sites.recordings.levels import require_same_levels
from causalign.sites.recordings.recording import Recording
from causalign.tasks.causal_model import require_settable

OVER = ("trials", "conditions", "both")


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
        drawn again because a condition fell silent. `note` says why a number is NaN. The rows `RSA (crossnobis)`,
        `RSA (whitened correlation)` and `RSA (whitened cosine)` correlate cross-validated distances of the recorded
        states and squared distances of the others, which noise does not bias (`crossnobis_rows`).

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
        without = partial(_without, measure, means)
        low, high = interval(measure, value, scores, without, count=len(shared_values), over=over)
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
    rows += crossnobis_rows(sides, resamples, seed, over)
    table = pd.DataFrame([about | row for row in rows])
    first = ["measure", "a", "b", "value", "sd", "draws", "samples", "ci_low", "ci_high", "ceiling_low", "ceiling_high"]
    return table[[*first, "trials", "trials_left_out", "values_left_out", "repeated", "note"]]


def _value(measure: Measure, means: Sequence[Means]) -> tuple[float, str]:
    """Return the measure of the means, or NaN and the reason why it is undefined."""
    try:
        return measure(*means), ""
    except CausalignError as error:
        return np.nan, str(error)


def _without(measure: Measure, means: Sequence[Means], out: int) -> float:
    return measure(*(np.delete(each, out, axis=0) for each in means))


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
