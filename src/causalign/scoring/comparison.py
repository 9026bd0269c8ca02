"""Comparison of two sites by correlational measures, with the paper's sampling protocol (A.3 and A.4)."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool

from causalign.engine.activation_cache import require_same_trials
from causalign.errors import InvalidArgument
from causalign.random_streams import numpy_stream
from causalign.scoring.measure import Measure
from causalign.scoring.recording_comparison import compare_averages
from causalign.similarity.cka import cka
from causalign.similarity.procrustes import procrustes
from causalign.similarity.rsa import rsa
from causalign.sites.base import Site
from causalign.sites.readable import Readable, finite
from causalign.tasks.base import END, Sequences, Task
from causalign.tasks.variable import FULL

MEASURES: dict[str, Measure] = {
    "RSA (Spearman)": Measure(partial(rsa, correlation="spearman")),
    "RSA (Pearson)": Measure(partial(rsa, correlation="pearson")),
    "CKA": Measure(cka, low=0.0, unbiased=False),
    "CKA (linear)": Measure(partial(cka, kernel="linear"), low=0.0, unbiased=False),
    "CKA (debiased)": Measure(partial(cka, debiased=True)),
    "Procrustes distance": Measure(procrustes, low=0.0, high=2**0.5, distance=True, unbiased=False),
}
_MOST_TRIALS = 200_000


def compare(
    a: Readable | Sequence[Readable],
    b: Readable | None = None,
    *,
    seed: int = 0,
    draws: int = 10,
    samples: int = 1000,
    trials_each: int = 15,
    variable: str = FULL,
    resamples: int = 200,
    over: str = "trials",
) -> pd.DataFrame:
    """Compare two or more sites by RSA, CKA and Procrustes distance, on the same trials of one task.

    Both sites read `trials_each` trials of each stratum of the task. States are then drawn `draws` times from all
    positions but pads and E.

    A recording cannot read the same trials. If one of the sites is a recording, the mean states of each value of
    `variable` are compared, over all trials, whatever their split. The trials of the recording are resampled for an
    interval, and halved for a noise ceiling and for cross-validated distances (see `compare_averages`).

    Args:
        a: A site; or a list of sites, of which each two are compared.
        b: Another site, if the first is a single one.
        seed: The seed of all random draws.
        draws: Number of draws of states, at least 2.
        samples: Number of states of a draw, at least 3.
        trials_each: Number of trials of each stratum, such as a quantity.
        variable: The variable by whose values states are averaged. Used with recordings only.
        resamples: Number of resamples of the trials, at least 2. Used with recordings only.
        over: What the interval generalizes over: `trials`, `conditions` or `both`. Used with recordings only.

    Returns:
        A table with one row per pair of sites and measure: `measure, a, b, value, sd, draws, samples`. `value` is the
        mean over draws, and `sd` their standard deviation. With a recording `samples` is the number of values, and the
        table also has `ci_low, ci_high, ceiling_low, ceiling_high, trials, trials_left_out, values_left_out, repeated`
        and `note`, and rows for the correlations of cross-validated distances. `comparison_matrix(table, measure)` is a
        matrix of sites by sites.

    Raises:
        InvalidArgument: The sites have different tasks, several have one name, a number is too small, or states are NaN
            or infinite.
    """
    sites = [*([a] if isinstance(a, Readable) else a), *([] if b is None else [b])]
    for site in sites:
        if not isinstance(site, Readable):
            raise InvalidArgument(f"compare takes sites, such as network.site('hidden'); found {type(site).__name__}")
    if len(sites) < 2:
        raise InvalidArgument(f"compare takes at least 2 sites, found {len(sites)}")
    names = [site.name for site in sites]
    if len(sites) > 2 and len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InvalidArgument(f"several sites are called {twice}: give each recording a name of its own (name=)")
    if seed < 0 or draws < 2 or samples < 3 or trials_each < 1 or resamples < 2:
        raise InvalidArgument(
            "compare needs seed >= 0, draws >= 2, samples >= 3, trials_each >= 1 and resamples >= 2; "
            f"found {seed}, {draws}, {samples}, {trials_each} and {resamples}"
        )
    tables = []
    for first, second in combinations(sites, 2):
        if isinstance(first, Site) and isinstance(second, Site):
            draw = _Draw(seed, draws, samples, trials_each)
            tables.append(_of_same_trials(first, second, draw))
        else:
            compared = compare_averages(
                first, second, MEASURES, variable=variable, seed=seed, resamples=resamples, over=over
            )
            tables.append(compared)
    return pd.concat(tables, ignore_index=True)


@dataclass(frozen=True)
class _Draw:
    """The draws of states, as the arguments of `compare` describe them."""

    seed: int
    draws: int
    samples: int
    trials_each: int


def _of_same_trials(a: Site, b: Site, draw: _Draw) -> pd.DataFrame:
    """Return the measures of two sites that read the same trials."""
    require_same_trials([a, b])
    trials = stratified(a.task, draw.trials_each, numpy_stream(draw.seed, "similarity", "trials"))
    seen = torch.from_numpy(_positions(a.task, trials))
    states = [finite(site.read(site.encode(trials.tokens)), site).cpu()[seen] for site in (a, b)]
    rng = numpy_stream(draw.seed, "similarity", "samples")
    samples = min(draw.samples, len(states[0]))
    drawn = [torch.from_numpy(rng.choice(len(states[0]), samples, replace=False)) for _ in range(draw.draws)]
    rows = []
    for name, measure in MEASURES.items():
        values = [measure(states[0][index], states[1][index]) for index in drawn]
        about = {"measure": name, "a": a.name, "b": b.name}
        rows.append(
            about | {"value": np.mean(values), "sd": np.std(values, ddof=1), "draws": draw.draws, "samples": samples}
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
