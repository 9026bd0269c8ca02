"""Several models against one recording: how similar each is, alone and beside the others, and whether they differ."""

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pandas as pd
from jaxtyping import Float

from causalign.errors import CausalignError, InvalidArgument, lookup
from causalign.random_streams import numpy_stream
from causalign.scoring.comparison import MEASURES
from causalign.scoring.condition_means import Means, condition_means
from causalign.scoring.resampling import shared
from causalign.similarity.rsa import rdm
from causalign.sites.readable import Readable
from causalign.sites.recordings.levels import require_same_levels
from causalign.sites.recordings.recording import Recording
from causalign.tasks.causal_model import require_settable
from causalign.tasks.variable import FULL

_ATTEMPTS = 10


def compare_models(
    recording: Recording,
    models: Sequence[Readable],
    *,
    measure: str = "RSA (Spearman)",
    variable: str = FULL,
    seed: int = 0,
    resamples: int = 1000,
) -> pd.DataFrame:
    """Compare several models with one recording, and test the difference of each two.

    The mean states of each value of the variable are compared, over the values that the recording and all models have.
    The recorded trials are resampled, the same for all models, so that the noise of the recording cancels in the
    difference.

    Args:
        recording: The recording.
        models: At least two sites: of networks, or other recordings.
        measure: The name of the measure, as in `compare`.
        variable: The variable by whose values states are averaged.
        seed: The seed of all random draws.
        resamples: The number of resamples of the trials.

    Returns:
        A row for each two models: `measure, first, second, first_value, second_value, first_partial, second_partial,
        difference, ci_low, ci_high, p, draws, samples`. `difference` is the first value minus the second, with the 95 %
        percentile interval and the two-sided p-value of the bootstrap (never below 1 / (draws + 1)). `partial` is the
        partial Spearman correlation of the RDMs of a model and the recording, given those of all other models.

    Raises:
        InvalidArgument: There are fewer than two models, the variables differ, or the sites share too few values.
    """
    if not isinstance(recording, Recording) or len(models) < 2 or resamples < 2:
        raise InvalidArgument("compare_models takes a recording, at least 2 models, and at least 2 resamples")
    score = lookup("measure", measure, MEASURES)
    for model in models:
        require_settable(recording.task, variable, model.task, variable)
        require_same_levels(recording, variable, model, variable)
    sides, _, _ = condition_means([recording, *models], variable, seed)
    means = [side.means() for side in sides]
    values = [score(means[0], of_model) for of_model in means[1:]]
    partial = partial_correlations(means[0], means[1:])
    drawn = []
    for attempt in range(_ATTEMPTS * resamples):
        try:
            streams = (numpy_stream(seed, "models", attempt, place) for place in range(len(sides)))
            first, *rest = shared([side.drawn(rng) for side, rng in zip(sides, streams, strict=True)])
            drawn.append([score(first, each) for each in rest])
        except CausalignError:  # a condition fell silent
            continue
        if len(drawn) == resamples:
            break
    draws = np.array(drawn).reshape(len(drawn), len(models))
    rows = []
    for i, j in combinations(range(len(models)), 2):
        difference, spread = values[i] - values[j], draws[:, i] - draws[:, j]
        low, high, p = _test(spread)
        rows.append(
            {"measure": measure, "first": models[i].name, "second": models[j].name}
            | {"first_value": values[i], "second_value": values[j]}
            | {"first_partial": partial[i], "second_partial": partial[j], "difference": difference}
            | {"ci_low": low, "ci_high": high, "p": p, "draws": len(draws), "samples": len(means[0])}
        )
    return pd.DataFrame(rows)


def _test(differences: Float[np.ndarray, " draws"]) -> tuple[float, float, float]:
    """Return the middle 95 % of resampled differences, and the two-sided p-value."""
    if len(differences) < 2:
        return np.nan, np.nan, np.nan
    low, high = np.quantile(differences, (0.025, 0.975))
    least = (min((differences <= 0).sum(), (differences >= 0).sum()) + 1) / (len(differences) + 1)
    return float(low), float(high), float(min(1.0, 2 * least))


def partial_correlations(recorded: Means, models: Sequence[Means]) -> list[float]:
    """Return the partial Spearman correlation of each model's RDM with the recording's, given those of the others.

    It is the correlation of what is left of the ranked distances of both when those of the other models are regressed
    out. It is NaN if a state is all zero, or nothing is left.
    """
    from scipy.stats import rankdata  # takes half a second to import

    if not all(each.any(axis=1).all() for each in (recorded, *models)):
        return [np.nan] * len(models)
    ranks = np.stack([rankdata(rdm(each)) for each in (recorded, *models)])
    ranks -= ranks.mean(axis=1, keepdims=True)
    found = []
    for index in range(1, len(ranks)):
        others = np.delete(ranks, (0, index), axis=0).T
        pair = ranks[[0, index]].T
        left = pair - others @ np.linalg.lstsq(others, pair, rcond=None)[0]
        norms = np.linalg.norm(left, axis=0)
        nothing = norms <= 1e-9 * np.linalg.norm(pair, axis=0)
        found.append(np.nan if nothing.any() else float(left[:, 0] @ left[:, 1] / norms.prod()))
    return found
