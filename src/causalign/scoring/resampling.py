"""Intervals of measures by resampling trials and conditions."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from causalign.errors import CausalignError, InvalidArgument
from causalign.random_streams import numpy_stream
from causalign.scoring.condition_means import FEWEST, ConditionMeans, Means
from causalign.scoring.measure import Measure

_ATTEMPTS = 10  # draws for each one that is wanted, at most
_MIDDLE = (0.025, 0.975)


@dataclass(frozen=True, eq=False)
class Resamples:
    """The measures of resampled trials.

    Attributes:
        scores: The scores of each measure, one for each draw.
        repeated: The number of draws in which a measure was undefined, such as one in which a condition fell silent.
            They were drawn again.
    """

    scores: Mapping[str, Float[np.ndarray, " draws"]]
    repeated: int


def resample(sides: Sequence[ConditionMeans], measures: Mapping[str, Measure], draws: int, seed: int) -> Resamples:
    """Return the measures of resampled trials. There are fewer draws than wanted if too many had to be repeated."""

    def scores(rng: np.random.Generator) -> list[float]:
        pair = shared([side.drawn(rng) for side in sides])
        return [measure(*pair) for measure in measures.values()]

    return repeat(scores, list(measures), draws, seed)


def repeat(
    scores: Callable[[np.random.Generator], list[float]], names: Sequence[str], draws: int, seed: int
) -> Resamples:
    """Return the scores of random draws. A draw that raises an error is made again, up to ten times for each draw.

    Args:
        scores: The function that draws, and returns the score of each measure.
        names: The names of the measures.
        draws: The number of draws.
        seed: The seed.
    """
    rows: list[list[float]] = []
    attempt = 0
    while len(rows) < draws and attempt < _ATTEMPTS * draws:
        rng = numpy_stream(seed, "similarity", "resampled", attempt)
        attempt += 1
        try:
            rows.append(scores(rng))
        except CausalignError:
            continue
    found = np.array(rows).reshape(len(rows), len(names))
    return Resamples(dict(zip(names, found.T, strict=True)), attempt - len(rows))


def shared(means: Sequence[Means]) -> list[Means]:
    """Return the means of the conditions that all sides have.

    Raises:
        InvalidArgument: There are too few.
    """
    there = ~np.any([np.isnan(each).any(axis=1) for each in means], axis=0)
    if there.sum() < FEWEST:
        raise InvalidArgument(f"only {there.sum()} conditions have a trial")
    return [each[there] for each in means]


def interval(
    measure: Measure,
    value: float,
    scores: Float[np.ndarray, " draws"],
    without: Callable[[int], float],
    *,
    count: int,
    over: str,
) -> tuple[float, float]:
    """Return the 95 % interval of a measure over trials, conditions or both; NaN where it is not known.

    Args:
        measure: The measure.
        value: Its value.
        scores: Its values of resampled trials.
        without: Its value without one of the conditions, by index.
        count: The number of conditions.
        over: `trials`, `conditions` or `both`.
    """
    if np.isnan(value) or (over != "conditions" and len(scores) < 2):
        return np.nan, np.nan
    if over == "conditions":
        return condition_interval(measure, value, without, count)
    of_trials = trial_interval(measure, value, scores)
    if over == "trials":
        return of_trials
    return joint_interval(measure, value, of_trials, condition_interval(measure, value, without, count))


def trial_interval(measure: Measure, value: float, scores: Float[np.ndarray, " draws"]) -> tuple[float, float]:
    """Return the middle 95 % of resampled scores, shifted so that their median is the value.

    Resampled trials are noisier than the trials themselves, which the shift makes up for. It is made on a scale without
    bounds, so that the interval stays within the range of the measure.
    """
    drawn = measure.unbounded(scores)
    low, high = measure.unbounded(np.array([value])) + np.quantile(drawn, _MIDDLE) - np.median(drawn)
    low, high = measure.bounded(np.array([low, high]))
    return float(low), float(high)


def condition_interval(
    measure: Measure, value: float, without: Callable[[int], float], count: int
) -> tuple[float, float]:
    """Return the 95 % interval over conditions, by the jackknife on a scale without bounds.

    A bootstrap would draw conditions twice, and a condition is at distance 0 from itself. The jackknife leaves out one
    condition at a time: the variance is (n - 1) / n times the sum of the squared deviations.

    Args:
        measure: The measure.
        value: Its value with all conditions.
        without: Its value without one of them, by index.
        count: The number of conditions.
    """
    if count <= FEWEST:
        return np.nan, np.nan
    scores = np.array([without(out) for out in range(count)])
    left = measure.unbounded(scores)
    error = np.sqrt((count - 1) / count * np.square(left - left.mean()).sum())
    center = measure.unbounded(np.array([value]))
    low, high = measure.bounded(center + 1.959964 * error * np.array([-1, 1]))
    return float(low), float(high)


def joint_interval(
    measure: Measure, value: float, first: tuple[float, float], second: tuple[float, float]
) -> tuple[float, float]:
    """Return the interval over trials and conditions: the distances of the ends from the value add in squares."""
    center = measure.unbounded(np.array([value]))
    ends = measure.unbounded(np.array([first, second]))
    low, high = np.sqrt(np.square(ends - center).sum(axis=0)) * [-1, 1] + center
    low, high = measure.bounded(np.array([low, high]))
    return float(low), float(high)
