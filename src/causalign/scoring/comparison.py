"""Comparison of two sites by correlational measures, with the paper's sampling protocol (A.3 and A.4)."""

from collections.abc import Callable
from functools import partial

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool
from torch import Tensor

from causalign.engine.activation_cache import require_same_trials
from causalign.errors import InvalidArgument
from causalign.random_streams import numpy_stream
from causalign.scoring.recording_comparison import compare_averages
from causalign.similarity.cka import cka
from causalign.similarity.procrustes import procrustes
from causalign.similarity.rsa import rsa
from causalign.sites.base import Site
from causalign.sites.readable import Readable, finite
from causalign.tasks.base import END, Sequences, Task
from causalign.tasks.variable import FULL

MEASURES: dict[str, Callable[[Tensor, Tensor], float]] = {
    "RSA (Spearman)": partial(rsa, correlation="spearman"),
    "RSA (Pearson)": partial(rsa, correlation="pearson"),
    "CKA": cka,
    "CKA (linear)": partial(cka, kernel="linear"),
    "CKA (debiased)": partial(cka, debiased=True),
    "Procrustes distance": procrustes,
}
_MOST_TRIALS = 200_000


def compare(
    a: Readable,
    b: Readable,
    *,
    seed: int = 0,
    draws: int = 10,
    samples: int = 1000,
    trials_each: int = 15,
    variable: str = FULL,
    resamples: int = 200,
) -> pd.DataFrame:
    """Compare two sites by RSA, CKA and Procrustes distance, on the same trials of one task.

    Both sites read `trials_each` trials of each stratum of the task. States are then drawn `draws` times from all
    positions but pads and E.

    A recording cannot read the same trials. If one of the sites is a recording, the mean states of each value of
    `variable` are compared. The trials of the recording are resampled for an interval, and halved for a noise ceiling
    (see `compare_averages`).

    Args:
        a: A site.
        b: Another site.
        seed: The seed of all random draws.
        draws: Number of draws of states, at least 2.
        samples: Number of states of a draw, at least 3.
        trials_each: Number of trials of each stratum, such as a quantity.
        variable: The variable by whose values states are averaged. Used with recordings only.
        resamples: Number of resamples of the trials, at least 2. Used with recordings only.

    Returns:
        A table with one row per measure: `measure, a, b, value, sd, draws, samples`. `value` is the mean over draws,
        and `sd` their standard deviation. With a recording the table also has `ci_low, ci_high` and `ceiling`, and
        `samples` is the number of values.

    Raises:
        InvalidArgument: The sites have different tasks, a number is too small, or states are NaN or infinite.
    """
    for site in (a, b):
        if not isinstance(site, Readable):
            raise InvalidArgument(f"compare takes sites, such as network.site('hidden'); found {type(site).__name__}")
    if seed < 0 or draws < 2 or samples < 3 or trials_each < 1 or resamples < 2:
        raise InvalidArgument(
            "compare needs seed >= 0, draws >= 2, samples >= 3, trials_each >= 1 and resamples >= 2; "
            f"found {seed}, {draws}, {samples}, {trials_each} and {resamples}"
        )
    if not isinstance(a, Site) or not isinstance(b, Site):
        return compare_averages(a, b, MEASURES, variable=variable, seed=seed, resamples=resamples)
    require_same_trials([a, b])
    trials = stratified(a.task, trials_each, numpy_stream(seed, "similarity", "trials"))
    seen = torch.from_numpy(_positions(a.task, trials))
    states = [finite(site.read(site.encode(trials.tokens)), site).cpu()[seen] for site in (a, b)]
    rng = numpy_stream(seed, "similarity", "samples")
    samples = min(samples, len(states[0]))
    drawn = [torch.from_numpy(rng.choice(len(states[0]), samples, replace=False)) for _ in range(draws)]
    rows = []
    for name, measure in MEASURES.items():
        values = [measure(states[0][index], states[1][index]) for index in drawn]
        about = {"measure": name, "a": a.name, "b": b.name}
        rows.append(
            about | {"value": np.mean(values), "sd": np.std(values, ddof=1), "draws": draws, "samples": samples}
        )
    return pd.DataFrame(rows)


def stratified(task: Task, each: int, rng: np.random.Generator) -> Sequences:
    """Return `each` trials of every stratum that occurs in a sample of the task's trials.

    Raises:
        InvalidArgument: A stratum is too rare.
    """
    trials = task.trials(200 * each, rng)
    strata = task.strata(trials)
    while np.unique(strata, return_counts=True)[1].min() < each and len(trials) < _MOST_TRIALS:
        trials = task.trials(2 * len(trials), rng)
        strata = task.strata(trials)
    if np.unique(strata, return_counts=True)[1].min() < each:
        raise InvalidArgument(f"{task.name} wrote fewer than {each} trials of a stratum in {len(trials):,} trials")
    by_stratum = np.argsort(strata, kind="stable")
    first_of_stratum = np.searchsorted(strata[by_stratum], strata[by_stratum])
    return trials[by_stratum[np.arange(len(trials)) - first_of_stratum < each]]


def _positions(task: Task, trials: Sequences) -> Bool[np.ndarray, "trials time"]:
    return (trials.tokens != 0) & (trials.tokens != task.vocabulary.id(END))
