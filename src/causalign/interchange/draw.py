"""Drawing interventions from causal models.

    trials of each site's task --read--> recorded states with the variables' values
    a source state and a target state --set the variable--> counterfactual values --write--> continuation

Every network reads its trials once; a direction then pairs recorded states at random.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from causalign._random import numpy_stream
from causalign.errors import CausalignError
from causalign.interchange.interventions import Direction, Interventions
from causalign.sites import Prepared, Site, finite
from causalign.tasks import Sequences, Values, counterfactual

_MOST_TRIALS = 4096  # read for one split; their states at all positions are paired at random
_CHUNK = 1024  # trials read at a time
_ATTEMPTS = 50


@dataclass(frozen=True, eq=False)
class Recorded:
    """A site's states at every position of some trials where a swap may happen, with the values of the variables."""

    trials: Sequences
    trial: Int[np.ndarray, " samples"]
    position: Int[np.ndarray, " samples"]
    states: Float[Tensor, "samples width"]

    @property
    def values(self) -> Values:
        """The value of every variable at each sample."""
        return {name: value[self.trial, self.position] for name, value in self.trials.values.items()}

    def sample(self, count: int, rng: np.random.Generator) -> Int[np.ndarray, " count"]:
        """Samples drawn with replacement: a trial uniformly, then one of its positions uniformly (A.2)."""
        first = np.searchsorted(self.trial, np.arange(len(self.trials)))
        many = np.bincount(self.trial, minlength=len(self.trials))
        trial = rng.choice(np.flatnonzero(many), count)
        return first[trial] + rng.integers(many[trial])


def record(site: Site, trials: int, rng: np.random.Generator) -> Recorded:
    """Read the states of `trials` new trials at every position where a swap may happen.

    Raises:
        CausalignError: states are NaN or infinite, or no trial has such a position.
    """
    drawn = site.task.trials(trials, rng)
    trial, position = site.task.swappable(drawn.tokens).nonzero()
    if len(trial) == 0:
        raise CausalignError(f"{site.task.name} writes none of the tokens {site.task.swap_at} that a swap follows")
    states = []
    for start in range(0, trials, _CHUNK):
        here = (trial >= start) & (trial < start + _CHUNK)
        read = finite(site.read(site.encode(drawn.tokens[start : start + _CHUNK])), site)
        states.append(read[torch.from_numpy(trial[here] - start), torch.from_numpy(position[here])])
    return Recorded(drawn, trial, position, torch.cat(states))


def record_all(sites: Sequence[Site], count: int, seed: int, split: str) -> list[Recorded]:
    """Recorded states of every site, enough for `count` interventions of each direction.

    `split` names the random stream: different splits share no draw.
    """
    trials = min(count, _MOST_TRIALS)
    return [record(site, trials, numpy_stream(seed, split, "trials", i)) for i, site in enumerate(sites)]


def draw_interventions(
    sites: Sequence[Site],
    variables: Sequence[str],
    directions: Iterable[Direction],
    recorded: Sequence[Recorded],
    count: int,
    seed: int,
    split: str,
) -> dict[Direction, Interventions]:
    """`count` interventions of each direction, from states recorded for the same split.

    Raises:
        CausalignError: the variables do not fit each other, or a source's values mean nothing in a target's task.
    """
    sides = [_Side(*side) for side in zip(sites, variables, recorded, strict=True)]
    return {
        direction: _pair(
            sides[direction.source], sides[direction.target], count, numpy_stream(seed, split, "pairs", *direction)
        )
        for direction in directions
    }


@dataclass(frozen=True, eq=False)
class _Side:
    """One end of a direction: a site, the variable that is given or set there, and its recorded states."""

    site: Site
    variable: str
    recorded: Recorded


def _pair(source: _Side, target: _Side, count: int, rng: np.random.Generator) -> Interventions:
    task, device = target.site.task, target.site.device
    from_source, into_target, values = _matched(source, target, count, rng)
    continuation = task.continue_from(values, rng)
    if not continuation.determined.any(axis=1).all():
        raise CausalignError(f"{task.name} writes continuations without a determined token: nothing could be scored")
    return Interventions(
        source.recorded.states[torch.from_numpy(from_source)].to(device),
        target.recorded.states[torch.from_numpy(into_target)],
        _prepared(target.site, target.recorded, into_target),
        target.site.encode(continuation.tokens),
        torch.from_numpy(continuation.determined).to(device),
        torch.from_numpy(continuation.lengths).to(device),
        {name: torch.from_numpy(value).to(device) for name, value in values.items()},
    )


def _prepared(site: Site, recorded: Recorded, samples: Int[np.ndarray, " count"]) -> Prepared:
    parts = []
    for start in range(0, len(samples), _CHUNK):
        chunk = samples[start : start + _CHUNK]
        tokens = site.encode(recorded.trials.tokens[recorded.trial[chunk]])
        parts.append(site.prepare(tokens, torch.from_numpy(recorded.position[chunk]).to(tokens.device)))
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


def _matched(
    source: _Side, target: _Side, count: int, rng: np.random.Generator
) -> tuple[Int[np.ndarray, " count"], Int[np.ndarray, " count"], Values]:
    """Pairs of samples, and the target's values with the variable set: only pairs whose values mean something there."""
    task, of_source, of_target = target.site.task, source.recorded.values, target.recorded.values
    kept: list[tuple[Int[np.ndarray, " pairs"], Int[np.ndarray, " pairs"], Values]] = []
    for _ in range(_ATTEMPTS):
        s, t = source.recorded.sample(count, rng), target.recorded.sample(count, rng)
        values = counterfactual(
            source.site.task,
            source.variable,
            {name: value[s] for name, value in of_source.items()},
            task,
            target.variable,
            {name: value[t] for name, value in of_target.items()},
        )
        meant = task.meaningful(values)
        kept.append((s[meant], t[meant], {name: value[meant] for name, value in values.items()}))
        if sum(len(pairs) for pairs, _, _ in kept) >= count:
            break
    else:
        raise CausalignError(
            f"values of {source.variable!r} in {source.site.name} mean (almost) nothing as "
            f"{target.variable!r} in {target.site.name}"
        )
    pairs = [np.concatenate(column)[:count] for column in list(zip(*kept, strict=True))[:2]]
    return pairs[0], pairs[1], {k: np.concatenate([v[k] for _, _, v in kept])[:count] for k in kept[0][2]}
