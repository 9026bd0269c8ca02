"""Counterfactual rows from causal models.

    a source state and a target state --set the variable--> counterfactual values --write--> expected output

The rows of a direction pair activations at random: one position of each side or, stepwise, all positions up to the
source's.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from typing_extensions import override

from causalign.counterfactuals import rows as names
from causalign.counterfactuals.class_means import class_means, shared_means
from causalign.counterfactuals.columns import Columns, concatenate
from causalign.counterfactuals.direction import Direction
from causalign.counterfactuals.holdout import HOLDOUT, Holdout
from causalign.counterfactuals.row_source import RowRequest, RowSource
from causalign.counterfactuals.rows import CounterfactualRows
from causalign.counterfactuals.variables import Variables
from causalign.engine.activation_cache import Activations, read_activations, read_paired_activations
from causalign.errors import InvalidArgument, unknown
from causalign.networks.accuracy import accuracy
from causalign.random_streams import numpy_stream
from causalign.run_context import RunContext
from causalign.sites.base import Site
from causalign.sites.checks import check
from causalign.sites.readable import Readable
from causalign.sites.recordings.levels import require_same_levels
from causalign.sites.recordings.recording import Recording
from causalign.storage import Store
from causalign.tasks.base import Sequences
from causalign.tasks.causal_model import Values, counterfactual, require_settable
from causalign.tasks.checks import check as check_task
from causalign.tasks.variable import FULL, Variable

_ATTEMPTS = 50
_CHUNK = 20_000  # rows drawn at a time
_ACCURACY_TRIALS = 256
_FINGERPRINT_TRIALS = 64


@dataclass(frozen=True, eq=False)
class TaskRows(RowSource):
    """Rows drawn from the tasks of the sites."""

    sites: tuple[Readable, ...]
    variables: Variables
    sizes: tuple[tuple[str, int], ...]
    """The number of rows of each direction, by split."""
    seed: int
    held_out: Holdout | None = None
    """The values that are held out."""
    _read: dict[tuple[str, bool], list[Activations]] = field(default_factory=dict)

    @property
    @override
    def counts(self) -> dict[str, int]:
        return dict(self.sizes)

    @property
    @override
    def holdout(self) -> int:
        """As many rows as the test has."""
        return 0 if self.held_out is None else self.counts["test"]

    def _count(self, split: str) -> int:
        return self.holdout if split == HOLDOUT else self.counts[split]

    @override
    def index(self, split: str) -> Int[np.ndarray, " rows"]:
        """Return the order in which the rows were drawn."""
        return np.arange(self._count(split))

    @property
    @override
    def fingerprint(self) -> str:
        (first, *others) = self.variables.at_sites
        variables = self.variables.at_sites if others else first
        digest = hashlib.sha256(repr((variables, self.sizes, self.seed)).encode())
        digest.update(b"" if self.held_out is None else repr(self.held_out).encode())
        for site in self.sites:
            digest.update(f"{site.task.name} {site.task.variables}".encode())
            if isinstance(site, Site):
                trials = site.task.trials(_FINGERPRINT_TRIALS, numpy_stream(0, "fingerprint"))
                digest.update(trials.tokens.tobytes())
            else:
                digest.update(site.fingerprint.encode())
        return digest.hexdigest()[:16]

    @override
    def with_sites(self, sites: Sequence[Readable]) -> "TaskRows":
        return replace(self, sites=tuple(sites), _read={})

    @override
    def with_counts(self, counts: dict[str, int]) -> "TaskRows":
        return replace(self, sizes=tuple(counts.items()), _read={})

    @override
    def check(self, stepwise: bool, seed: int) -> None:
        for task in {id(site.task): site.task for site in self.sites if isinstance(site, Site)}.values():
            check_task(task)
        for site in self.sites:
            if isinstance(site, Site):
                check(site, seed, stepwise)

    @override
    def nbytes(self, split: str) -> int:
        return sum(each.nbytes for (of, _), read in self._read.items() if of == split for each in read)

    @property
    @override
    def notes(self) -> tuple[str, ...]:
        return () if self.held_out is None else (self.held_out.note,)

    def _activations(
        self, split: str, stepwise: bool, context: RunContext, directions: Sequence[Direction]
    ) -> list[Activations]:
        """Return the activations of a split, which are read once."""
        targets = [any(direction.target == index for direction in directions) for index in range(len(self.sites))]
        found = self._read.get((split, stepwise))
        lacking = found is not None and any(
            wanted and isinstance(site, Site) and not each.with_prefix
            for wanted, site, each in zip(targets, self.sites, found, strict=True)
        )
        if found is None or lacking:
            streams = replace(context, seed=self.seed)
            with context.timed("states"):
                found = read_activations(
                    self.sites, self._count(split), split, streams, stepwise=stepwise, targets=targets
                )
            self._read[split, stepwise] = found
        return found

    @override
    def rows(self, request: RowRequest, context: RunContext) -> dict[Direction, CounterfactualRows]:
        read = self._activations(request.split, request.stepwise, context, request.directions)
        with context.timed("data"):
            return draw_rows(
                self.sites,
                self.variables,
                read,
                count=self._count(request.split),
                request=request,
                context=replace(context, seed=self.seed),
                holdout=self.held_out,
            )

    @override
    def class_means(self, stepwise: bool, context: RunContext, variable: int = 0) -> list[Float[Tensor, "classes _"]]:
        read, of_sites = self._activations("train", stepwise, context, ()), self.variables.at_sites[variable]
        keys = [site.task.keys(each.name) for site, each in zip(self.sites, of_sites, strict=True)]
        allowed = [each for each in of_sites if each.restricted and not stepwise]
        means = [class_means(each, key) for each, key in zip(read, keys, strict=True)]
        if self.held_out is not None:
            means = [self.held_out.without(site, keys[site], each) for site, each in enumerate(means)]
        return shared_means(means, allowed)

    @override
    def without_classes(self, stepwise: bool) -> str | None:
        return None

    @property
    @override
    def without_complement(self) -> str | None:
        return None

    @override
    def paired_states(self, context: RunContext) -> list[Float[Tensor, "pairs _"]]:
        if self.held_out is not None:
            raise InvalidArgument(
                "states of the same inputs, as a paired start or principal components take them, are of all values, "
                "those of holdout_values too: take the closed-form or the random start"
            )
        return read_paired_activations(self.sites, self.counts["train"], replace(context, seed=self.seed))

    @override
    def accuracy(self, index: int, context: RunContext) -> float | None:
        site = self.sites[index]
        if not isinstance(site, Site):
            return None
        drawn = site.task.trials(
            min(_ACCURACY_TRIALS, self.counts["test"]), numpy_stream(self.seed, "test", "accuracy", index)
        )
        return accuracy(site.network, replace(drawn, tokens=site.encode(drawn.tokens).cpu().numpy()))


@dataclass(frozen=True, eq=False)
class _End:
    """The source or the target of a direction: its site, its variable, and its activations."""

    site: Readable
    variable: Variable
    activations: Activations
    among: Bool[np.ndarray, " samples"] | None = None
    """The samples that may be drawn. `None` for all of them."""


def draw_rows(
    sites: Sequence[Readable],
    variables: Variables,
    activations: Sequence[Activations],
    *,
    count: int,
    request: RowRequest,
    context: RunContext,
    holdout: Holdout | None = None,
) -> dict[Direction, CounterfactualRows]:
    """Draw `count` rows of each direction from activations that were read for the same split.

    Several variables have equal numbers of rows, give or take one: first those of the first variable. A row that needs
    a counterfactual latent is left out, and counted, if no activation of the target has its values.

    Raises:
        InvalidArgument: The variables do not fit each other, or a source's values have no meaning in a target's task.
    """
    shares = [len(each) for each in np.array_split(np.arange(count), len(variables))]
    drawn = {}
    for direction in request.directions:
        parts = []
        for variable, (of_sites, share) in enumerate(zip(variables.at_sites, shares, strict=True)):
            ends = [
                _End(
                    sites[index],
                    of_sites[index],
                    activations[index],
                    None if holdout is None else holdout.among(index, activations[index], request.split, end == 0),
                )
                for end, index in enumerate(direction)
            ]
            stream = (*direction, *([variable] if variable else []))  # the first has the streams of an only one
            streams = _Streams(
                context.numpy(request.split, "pairs", *stream),
                context.numpy(request.split, "latents", *stream) if direction in request.latents else None,
                context.numpy(request.split, "complement", *stream) if request.complement else None,
            )
            made = _parts((ends[0], ends[1]), share, streams)
            parts += [each.of_variable(variable) for each in made] if len(variables) > 1 else made
        if parts:
            drawn[direction] = CounterfactualRows.joined(parts, sites[direction.target], context.store)
    return drawn


@dataclass(frozen=True)
class _Streams:
    """The random streams of the rows of a direction and a variable."""

    pairs: np.random.Generator
    latents: np.random.Generator | None
    """The stream of the counterfactual latents. `None` without them."""
    complement: np.random.Generator | None
    """The stream of the expected outputs of the complement. `None` for those of the interchange."""


def _parts(ends: tuple[_End, _End], count: int, streams: _Streams) -> list[CounterfactualRows]:
    """Draw rows of a direction and a variable. Many are drawn in parts, which are in files until they are joined.

    A part of which no row has an expected output is left out.
    """
    parts = []
    for part in np.array_split(np.arange(count), -(-count // _CHUNK)):
        drawn = _drawn(*ends, len(part), streams)
        if drawn is not None:
            parts.append(CounterfactualRows.joined([drawn], ends[1].site, Store(0.0)) if count > _CHUNK else drawn)
    return parts


def _drawn(source: _End, target: _End, count: int, streams: _Streams) -> CounterfactualRows | None:
    """Draw some rows of a direction, with counterfactual latents if there is a generator for them.

    Rows of the complement are the same rows with other expected outputs, but those that have none.
    """
    rng, latents = streams.pairs, streams.latents
    pairs = _matched(source, target, count, rng)
    if streams.complement is not None:
        _continued(target.site, pairs.group(names.VALUE), rng)  # so that the next part has the pairs of the others
        exchanged = _complement(source, target, pairs)
        return _rows(source, target, exchanged, streams.complement) if len(exchanged) else None
    if latents is None:
        return _rows(source, target, pairs, rng)
    found, missing = _look_up(target, pairs.group(names.VALUE), latents)
    there = found >= 0
    if not there.any():
        raise InvalidArgument(
            f"no state of {target.site.name} has the values of any row: there are no counterfactual latents"
        )
    rows = _rows(source, target, pairs.take(there), rng)
    columns = rows.columns.replaced(latent_rows=_compact(found[there], target.site.device))
    return replace(rows, columns=columns, missing_latents=missing)


def _matched(source: _End, target: _End, count: int, rng: np.random.Generator) -> Columns[np.ndarray]:
    """Draw pairs of positions whose values are within the variables' ranges and have a meaning in the target's task."""
    kept: list[Columns[np.ndarray]] = []
    among = _in_range(source, target)
    for _ in range(_ATTEMPTS):
        s, t = source.activations.sample(count, rng, among), target.activations.sample(count, rng, target.among)
        of, into = (source.activations.trial[s], source.activations.position[s]), target.activations.trial[t]
        position = of[1] if source.activations.stepwise else target.activations.position[t]
        of_source, of_target = source.activations.values_at(*of), target.activations.values_at(into, position)
        values = counterfactual(
            source.site.task,
            source.variable.name,
            of_source,
            target=target.site.task,
            target_variable=target.variable.name,
            target_values=of_target,
        )
        meant = target.site.task.meaningful(values) & (target.activations.row(into, position) >= 0)
        pairs: dict[str, Any] = {"source_trial": of[0], "source_position": of[1], "trial": into, "position": position}
        pairs |= {f"{names.VALUE}{name}": value for name, value in values.items()}
        kept.append(Columns(pairs).take(meant))
        if sum(map(len, kept)) >= count:
            break
    else:
        raise InvalidArgument(
            f"(almost) no values of {str(source.variable)!r} in {source.site.name} have a meaning as "
            f"{str(target.variable)!r} in {target.site.name}"
        )
    return concatenate(kept).take(slice(count))


def _complement(source: _End, target: _End, pairs: Columns[np.ndarray]) -> Columns[np.ndarray]:
    """Return the pairs with the values that follow a complement: the source's, with the variable at the target's value.

    Pairs are left out where that value is outside the variable's range, or has no meaning in the task.
    """
    of_source = source.activations.values_at(pairs["source_trial"], pairs["source_position"])
    of_target = target.activations.values_at(pairs[names.TRIAL], pairs[names.POSITION])
    values = counterfactual(
        target.site.task,
        target.variable.name,
        of_target,
        target=source.site.task,
        target_variable=source.variable.name,
        target_values=of_source,
    )
    meant = source.site.task.meaningful(values)
    if target.variable.restricted:
        meant &= target.variable.allows(of_target[target.variable.name])
    columns = {f"{names.VALUE}{name}": value for name, value in values.items()}
    return pairs.replaced(**columns).take(meant)


def _in_range(source: _End, target: _End) -> Bool[np.ndarray, " samples"] | None:
    """Return which source samples may be drawn and have a value in the ranges of both variables; `None` for all."""
    ranges = [variable for variable in dict.fromkeys((source.variable, target.variable)) if variable.restricted]
    if not ranges:
        return source.among
    values = source.activations.values[source.variable.name]
    among = np.all([variable.allows(values) for variable in ranges], axis=0)
    among = among if source.among is None else among & source.among
    if not among.any():
        raise InvalidArgument(
            f"no value of {source.variable.name!r} in {source.site.name} is within {' and '.join(map(str, ranges))}; "
            f"found {values.min()} to {values.max()}"
        )
    return among


def _rows(source: _End, target: _End, pairs: Columns[np.ndarray], rng: np.random.Generator) -> CounterfactualRows:
    device = target.site.device
    tokens, scored, lengths = _continued(target.site, pairs.group(names.VALUE), rng)
    columns = {
        names.SOURCE_ROWS: source.activations.rows(pairs["source_trial"], pairs["source_position"]),
        names.TARGET_ROWS: target.activations.rows(pairs["trial"], pairs["position"]),
        names.TRIAL: pairs["trial"],
        names.POSITION: pairs["position"],
        names.LENGTHS: lengths,
        **{name: pairs[name] for name in pairs if name.startswith(names.VALUE)},
    }
    compact = {name: _compact(column, device) for name, column in columns.items()}
    return CounterfactualRows(
        source.activations, target.activations, Columns({**compact, names.TOKENS: tokens, names.SCORED: scored})
    )


def _continued(
    site: Readable, values: Values, rng: np.random.Generator
) -> tuple[Int[Tensor, "pairs steps"], Bool[Tensor, "pairs steps"], Int[np.ndarray, " pairs"]]:
    """Return the expected outputs, which tokens are scored, and their lengths.

    They are empty if the target is a recording, which cannot be run.
    """
    if not isinstance(site, Site):
        pairs = len(values[site.task.variables[0]])
        nothing = torch.zeros(pairs, 0, dtype=torch.int32, device=site.device)
        return nothing, nothing.bool(), np.zeros(pairs, dtype=np.int64)
    continuation: Sequences = site.task.continue_from(values, rng)
    if not continuation.determined.any(axis=1).all():
        name = site.task.name
        raise InvalidArgument(f"{name} writes expected outputs without a determined token: nothing could be scored")
    determined = torch.from_numpy(continuation.determined).to(site.device)
    return site.encode(continuation.tokens).int(), determined, continuation.lengths


def _compact(numbers: Int[np.ndarray, "..."], device: torch.device) -> Int[Tensor, "..."]:
    """Return the numbers as int32, which halves the memory; none of them is large."""
    return torch.from_numpy(numbers.astype(np.int32)).to(device)


def _look_up(
    target: _End, values: Values, rng: np.random.Generator
) -> tuple[Int[np.ndarray, " pairs"], dict[tuple[int, ...], int]]:
    """Return, for each pair, the row of a state of the target with these values, drawn at random.

    The row is -1 where there is none. The second result counts these pairs, by their values.
    """
    activations, variables = target.activations, target.site.task.variables
    at_samples = activations.values
    known = np.stack([at_samples[name] for name in variables], axis=1)
    wanted = np.stack([values[name] for name in variables], axis=1)
    classes, which = np.unique(np.concatenate([known, wanted]), axis=0, return_inverse=True)
    of_known, of_wanted = which[: len(known)], which[len(known) :]
    sample, there = draw_of_class(of_known, of_wanted, len(classes), rng)
    rows = np.where(there, activations.row(activations.trial[sample], activations.position[sample]), -1)
    lacking, times = np.unique(wanted[~there], axis=0, return_counts=True)
    return rows, {tuple(map(int, value)): int(n) for value, n in zip(lacking, times, strict=True)}


def draw_of_class(
    known: Int[np.ndarray, " known"], wanted: Int[np.ndarray, " wanted"], classes: int, rng: np.random.Generator
) -> tuple[Int[np.ndarray, " wanted"], Bool[np.ndarray, " wanted"]]:
    """Draw, for each wanted class, a known entry of that class, and return whether there is one."""
    order = np.argsort(known, kind="stable")
    first, many = np.searchsorted(known[order], np.arange(classes)), np.bincount(known, minlength=classes)
    there = many[wanted] > 0
    pick = np.where(there, first[wanted] + rng.integers(np.maximum(many[wanted], 1)), 0)
    return order[pick], there


def variables_of(variable: Any, sites: Sequence[Readable]) -> tuple[Variable, ...]:
    """Return the variable of each site, and check it against the site's task and the variables of other sites.

    Raises:
        InvalidArgument: A site has no task, its task lacks the variable, or the variables cannot be set from each
            other.
    """
    named = [variable] * len(sites) if isinstance(variable, str | Variable) else list(variable)
    variables = [Variable.of(each) for each in named]
    if len(variables) != len(sites):
        raise InvalidArgument(f"name one variable, or one for each of the {len(sites)} sites; found {len(variables)}")
    for site, each in zip(sites, variables, strict=True):
        if not site.task.variables:
            raise InvalidArgument(
                f"{site.name} has no task to draw counterfactuals from: name one for the site, or create a dataset "
                "with Counterfactuals.from_table or from_arrays"
            )
        if isinstance(site, Recording) and each.name not in (FULL, *site.task.variables):
            raise unknown(f"variable of {site.name}", each.name, (FULL, *site.task.variables))
        try:
            require_settable(sites[0].task, variables[0].name, site.task, each.name)
            require_same_levels(sites[0], variables[0].name, site, each.name)
        except InvalidArgument as error:
            differ = isinstance(variable, str | Variable) and site.task.name != sites[0].task.name
            raise InvalidArgument(
                f"{error}; the tasks differ: name a variable for each site" if differ else str(error)
            ) from None
    return tuple(variables)
