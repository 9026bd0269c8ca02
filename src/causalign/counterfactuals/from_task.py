"""Drawing interventions from causal models.

    a source state and a target state --set the variable--> counterfactual values --write--> continuation

A direction pairs recorded states at random: one position of each, or, stepwise, all up to the source's position.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor

from causalign.counterfactuals.direction import Direction
from causalign.counterfactuals.rows import CounterfactualRows
from causalign.engine.activation_cache import Activations
from causalign.errors import CausalignError
from causalign.random_streams import numpy_stream
from causalign.sites.base import Places, Site
from causalign.sites.readable import Readable
from causalign.storage import Store
from causalign.tasks.causal_model import Values, counterfactual
from causalign.tasks.variable import Variable

_ATTEMPTS = 50
_CHUNK = 20_000  # interventions drawn at a time


def draw_rows(
    sites: Sequence[Readable],
    variables: Sequence[Variable],
    directions: Iterable[Direction],
    recorded: Sequence[Activations],
    count: int,
    seed: int,
    split: str,
    *,
    stepwise: bool = False,
    latent_directions: Collection[Direction] = (),
    store: Store | None = None,
) -> dict[Direction, CounterfactualRows]:
    """`count` interventions of each direction, from states recorded for the same split.

    Directions in `latent_directions` get counterfactual latents; the interventions whose values were never recorded in
    the target are left out of them, and counted.

    Raises:
        CausalignError: the variables do not fit each other, or a source's values mean nothing in a target's task.
    """
    sides = [_Side(*side) for side in zip(sites, variables, recorded, strict=True)]
    store, drawn = store or Store(), {}
    for direction in directions:
        source, target = (sides[index] for index in direction)
        rng = numpy_stream(seed, split, "pairs", *direction)
        latents = numpy_stream(seed, split, "latents", *direction) if direction in latent_directions else None
        parts = []
        for part in np.array_split(np.arange(count), -(-count // _CHUNK)):
            parts.append(_drawn(source, target, len(part), rng, latents, stepwise))
            if count > _CHUNK:  # parts wait in files until they are joined
                parts[-1] = CounterfactualRows.joined(parts[-1:], target.site, Store(0.0))
        drawn[direction] = CounterfactualRows.joined(parts, target.site, store)
    return drawn


@dataclass(frozen=True, eq=False)
class _Side:
    """One end of a direction: a site, the variable that is given or set there, and its recorded states."""

    site: Readable
    variable: Variable
    recorded: Activations


@dataclass(frozen=True, eq=False)
class _Pairs:
    """Places in the source's and the target's recorded trials, and the target's values with the variable set."""

    source_trial: Int[np.ndarray, " pairs"]
    source_position: Int[np.ndarray, " pairs"]
    target_trial: Int[np.ndarray, " pairs"]
    target_position: Int[np.ndarray, " pairs"]
    values: Values

    def take(self, chosen: Bool[np.ndarray, " pairs"] | slice) -> "_Pairs":
        return _Pairs(
            self.source_trial[chosen],
            self.source_position[chosen],
            self.target_trial[chosen],
            self.target_position[chosen],
            {name: value[chosen] for name, value in self.values.items()},
        )

    @classmethod
    def joined(cls, parts: Sequence["_Pairs"]) -> "_Pairs":
        return cls(
            np.concatenate([part.source_trial for part in parts]),
            np.concatenate([part.source_position for part in parts]),
            np.concatenate([part.target_trial for part in parts]),
            np.concatenate([part.target_position for part in parts]),
            {name: np.concatenate([part.values[name] for part in parts]) for name in parts[0].values},
        )

    def __len__(self) -> int:
        return len(self.source_trial)


def _drawn(
    source: _Side,
    target: _Side,
    count: int,
    rng: np.random.Generator,
    latents: np.random.Generator | None,
    stepwise: bool,
) -> CounterfactualRows:
    """Some interventions of a direction, with latents where there is a generator to draw them."""
    pairs = _matched(source, target, stepwise, count, rng)
    if latents is None:
        return _interventions(source, target, pairs, rng, None, None)
    rows, unmatched = _look_up(target, pairs.values, latents)
    there = rows >= 0
    if not there.any():
        raise CausalignError(f"no state of {target.site.name} was recorded with the values that swaps bring about")
    found = _compact(rows[there], target.site.device)
    return _interventions(source, target, pairs.take(there), rng, found, unmatched)


def _matched(source: _Side, target: _Side, stepwise: bool, count: int, rng: np.random.Generator) -> _Pairs:
    """Pairs of places: only such whose values are within the variables' ranges, and mean something in the target."""
    kept: list[_Pairs] = []
    among = _in_range(source, target)
    for _ in range(_ATTEMPTS):
        s, t = source.recorded.sample(count, rng, among), target.recorded.sample(count, rng)
        of, into = (source.recorded.trial[s], source.recorded.position[s]), target.recorded.trial[t]
        position = of[1] if stepwise else target.recorded.position[t]
        given, receiving = source.recorded.values_at(*of), target.recorded.values_at(into, position)
        ends = (source.site.task, source.variable.name, given, target.site.task, target.variable.name, receiving)
        values = counterfactual(*ends)
        meant = target.site.task.meaningful(values) & (target.recorded.row[into, position] >= 0)
        kept.append(_Pairs(*of, into, position, values).take(meant))
        if sum(map(len, kept)) >= count:
            break
    else:
        raise CausalignError(
            f"values of {str(source.variable)!r} in {source.site.name} mean (almost) nothing as "
            f"{str(target.variable)!r} in {target.site.name}"
        )
    return _Pairs.joined(kept).take(slice(count))


def _in_range(source: _Side, target: _Side) -> Bool[np.ndarray, " samples"] | None:
    """The source's samples whose value both ends allow; nothing where neither is restricted."""
    ranges = [variable for variable in dict.fromkeys((source.variable, target.variable)) if variable.restricted]
    if not ranges:
        return None
    given = source.recorded.values[source.variable.name]
    among = np.all([variable.allows(given) for variable in ranges], axis=0)
    if not among.any():
        raise CausalignError(
            f"no value of {source.variable.name!r} in {source.site.name} is within {' and '.join(map(str, ranges))}; "
            f"found {given.min()} to {given.max()}"
        )
    return among


def _interventions(
    source: _Side,
    target: _Side,
    pairs: _Pairs,
    rng: np.random.Generator,
    latent_rows: Int[Tensor, " pairs"] | None,
    unmatched: dict[tuple[int, ...], int] | None,
) -> CounterfactualRows:
    device = target.site.device
    return CounterfactualRows(
        source.recorded,
        target.recorded,
        _compact(source.recorded.rows(pairs.source_trial, pairs.source_position), device),
        _compact(target.recorded.rows(pairs.target_trial, pairs.target_position), device),
        Places(_compact(pairs.target_trial, device), _compact(pairs.target_position, device)),
        *_continued(target.site, pairs.values, rng),
        {name: _compact(value, device) for name, value in pairs.values.items()},
        latent_rows,
        unmatched,
    )


def _continued(
    site: Readable, values: Values, rng: np.random.Generator
) -> tuple[Int[Tensor, "pairs steps"], Bool[Tensor, "pairs steps"], Int[Tensor, " pairs"]]:
    """What the target goes on with, which of it is determined, and its lengths; what cannot be run writes nothing."""
    if not isinstance(site, Site):
        pairs = len(values[site.task.variables[0]])
        nothing = torch.zeros(pairs, 0, dtype=torch.int32, device=site.device)
        return nothing, nothing.bool(), torch.zeros(pairs, dtype=torch.int32, device=site.device)
    continuation = site.task.continue_from(values, rng)
    if not continuation.determined.any(axis=1).all():
        name = site.task.name
        raise CausalignError(f"{name} writes continuations without a determined token: nothing could be scored")
    determined = torch.from_numpy(continuation.determined).to(site.device)
    return site.encode(continuation.tokens).int(), determined, _compact(continuation.lengths, site.device)


def _compact(numbers: Int[np.ndarray, "..."], device: torch.device) -> Int[Tensor, "..."]:
    """In half of the memory: there are many interventions, and no number of theirs is large."""
    return torch.from_numpy(numbers.astype(np.int32)).to(device)


def _look_up(
    target: _Side, values: Values, rng: np.random.Generator
) -> tuple[Int[np.ndarray, " pairs"], dict[tuple[int, ...], int]]:
    """For each pair a recorded state of the target with these values, drawn at random among them; -1 where none is.

    And how many pairs have none, by their values.
    """
    recorded, names = target.recorded, target.site.task.variables
    at_samples = recorded.values
    known = np.stack([at_samples[name] for name in names], axis=1)
    wanted = np.stack([values[name] for name in names], axis=1)
    classes, which = np.unique(np.concatenate([known, wanted]), axis=0, return_inverse=True)
    of_known, of_wanted = which[: len(known)], which[len(known) :]
    order = np.argsort(of_known, kind="stable")
    first, many = (
        np.searchsorted(of_known[order], np.arange(len(classes))),
        np.bincount(of_known, minlength=len(classes)),
    )
    there = many[of_wanted] > 0
    pick = np.where(there, first[of_wanted] + rng.integers(np.maximum(many[of_wanted], 1)), 0)
    sample = order[pick]
    rows = np.where(there, recorded.row[recorded.trial[sample], recorded.position[sample]], -1)
    lacking, times = np.unique(wanted[~there], axis=0, return_counts=True)
    return rows, {tuple(map(int, value)): int(n) for value, n in zip(lacking, times, strict=True)}
