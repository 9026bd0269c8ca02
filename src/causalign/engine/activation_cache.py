"""A cache of activations, which are read once for every intervention that uses them.

trials --RunContext.read--> states at the positions that are kept, and everything that precedes a swap
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeVar, cast

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from causalign.errors import InvalidArgument
from causalign.readings.reading import fill_tables
from causalign.readings.request import ReadingRequest
from causalign.run_context import RunContext
from causalign.sites.base import Site, require_site
from causalign.sites.prefix import Prefix
from causalign.sites.readable import Readable
from causalign.storage import rows_of
from causalign.tasks.base import END, Sequences, Task
from causalign.tasks.trials import Trials

MAX_TRIALS = 4096  # most trials of a task that are read for one split; rows pair their states at random
Values = dict[str, Int[np.ndarray, " places"]]
"""The value of each variable at some places."""


@dataclass(frozen=True, eq=False)
class Activations:
    """The states of a site on some inputs, with everything else that swaps in these inputs need.

    A place is a trial and a position in it. A sample is a place where a state may be swapped.
    """

    trials: Trials
    trial: Int[np.ndarray, " samples"]
    """The trial of each sample."""
    position: Int[np.ndarray, " samples"]
    """The position of each sample in its trial."""
    device: torch.device
    """The device on which the states are used. They may be stored elsewhere."""
    states: Float[Tensor, "rows width"]
    keys: Int[np.ndarray, " rows"]
    """The place of each row of `states`, as trial x `time` + position, in ascending order."""
    time: int
    """The number of positions of a trial in `keys`."""
    prefix: Prefix = field(default_factory=Prefix.empty)
    stepwise: bool = False
    """Whether the states of all positions up to a sample's are swapped with it."""
    site_name: str = ""
    with_prefix: bool = True
    """Whether the prefix was kept. A site that is only a source does not need it."""

    @property
    def values(self) -> Values:
        """The value of every variable and reading at each sample."""
        return self.values_at(self.trial, self.position)

    def values_at(self, trial: Int[np.ndarray, " places"], position: Int[np.ndarray, " places"]) -> Values:
        """Return the value of every variable and reading at each place."""
        return {name: value[trial, position] for name, value in self.trials.values.items()}

    @property
    def sampled(self) -> Float[Tensor, "samples width"]:
        """The state of each sample."""
        return self.gather(torch.from_numpy(self.row(self.trial, self.position)))

    @property
    def nbytes(self) -> int:
        """The size of all tables in bytes."""
        return self.states.nbytes + self.prefix.nbytes

    def row(
        self, trial: Int[np.ndarray, "*places"], position: Int[np.ndarray, "*places"]
    ) -> Int[np.ndarray, "*places"]:
        """Return the row of `states` of each place, and -1 where no state was kept."""
        key = trial * self.time + position
        found = np.searchsorted(self.keys, key)
        kept = (found < len(self.keys)) & (self.keys[np.minimum(found, len(self.keys) - 1)] == key)
        return np.where(kept & (position < self.time), found, -1)

    def rows(
        self, trial: Int[np.ndarray, " places"], position: Int[np.ndarray, " places"]
    ) -> Int[np.ndarray, "places ..."]:
        """Return the row of `states` of each place.

        Stepwise, return the rows of all positions up to each place, `[places, steps]`, and 0 beyond.
        """
        if not self.stepwise:
            return self.row(trial, position)
        steps = np.arange(int(position.max()) + 1)
        up_to = self.row(*np.broadcast_arrays(trial[:, None], steps))
        return np.where(steps <= position[:, None], up_to, 0)

    def gather(self, rows: Int[Tensor, "*rows"]) -> Float[Tensor, "*rows width"]:
        """Return rows of `states`, on `device`."""
        return rows_of({"states": self.states}, rows)["states"].to(self.device)

    def labelled(self, names: Sequence[str]) -> tuple[Int[np.ndarray, "states names"], Int[Tensor, " states"]]:
        """Return the values of some variables that each state represents, and the rows of the states.

        Stepwise, a state represents a single token, and its label is the change that the token makes to the values.
        """
        if not self.stepwise:
            values = self.values
            rows = torch.from_numpy(self.row(self.trial, self.position))
            return np.stack([values[name] for name in names], axis=1), rows
        last = np.zeros(len(self.trials), dtype=np.int64)
        np.maximum.at(last, self.trial, self.position)
        trial, position = (np.arange(self.time) <= last[:, None]).nonzero()
        changes = [np.diff(self.trials.values[name], axis=1, prepend=0) for name in names]
        did = [change[trial, position] for change in changes]
        labels = np.stack([position == 0, *did], axis=1).astype(np.int64)  # B, at position 0, is a class of its own
        return labels, torch.from_numpy(self.row(trial, position))

    def sample(
        self, count: int, rng: np.random.Generator, among: Bool[np.ndarray, " samples"] | None = None
    ) -> Int[np.ndarray, " count"]:
        """Draw samples with replacement: a trial uniformly, then one of its positions uniformly (A.2).

        Args:
            count: The number of samples.
            rng: The random generator.
            among: Which samples may be drawn, at least one. By default, all.
        """
        chosen = np.arange(len(self.trial)) if among is None else np.flatnonzero(among)
        first = np.searchsorted(self.trial[chosen], np.arange(len(self.trials)))
        many = np.bincount(self.trial[chosen], minlength=len(self.trials))
        trial = rng.choice(np.flatnonzero(many), count)
        return chosen[first[trial] + rng.integers(many[trial])]


def read_activations(
    sites: Sequence[Readable],
    count: int,
    split: str,
    context: RunContext,
    *,
    stepwise: bool = False,
    targets: Sequence[bool] | None = None,
) -> list[Activations]:
    """Read the states of every site on trials of its task.

    Args:
        sites: The sites. Each reads trials of its own task.
        count: The number of rows of each direction. As many trials are read, but at most `MAX_TRIALS`.
        split: The split. It names the random streams, so that different splits share no draw.
        context: The random streams, and the context that reads.
        stepwise: Whether the states of all positions are kept. The trials of each site are then lengthened to the
            longest trial of all sites, so that each can be a target up to any source's position.
        targets: Whether each site is a target, and needs its prefix. By default, all are targets.

    Raises:
        InvalidArgument: States are NaN or infinite, a site has no position to swap at, or stepwise swaps include a
            recording.
    """
    trials = min(count, MAX_TRIALS)
    into = [True] * len(sites) if targets is None else list(targets)
    streams = [context.numpy(split, "trials", index) for index in range(len(sites))]
    if stepwise:
        run = [require_site(site, "stepwise swaps lengthen its trials") for site in sites]
        return _read_stepwise(run, trials, streams, context)
    activations = []
    for site, rng, is_target in zip(sites, streams, into, strict=True):
        drawn = _by_length(site.draw(trials, split, rng))
        places = site.swappable(drawn)
        activations.append(read_trials(site, drawn, places, places, context, with_prefix=is_target))
    return activations


def _read_stepwise(
    sites: Sequence[Site], trials: int, streams: Sequence[np.random.Generator], context: RunContext
) -> list[Activations]:
    drawn = [_by_length(site.task.trials(trials, rng)) for site, rng in zip(sites, streams, strict=True)]
    time = max(each.tokens.shape[1] for each in drawn)
    activations = []
    for site, each in zip(sites, drawn, strict=True):
        longer, kept = lengthen(site.task, each, time)
        swappable = site.task.swappable(each.padded(time).tokens)  # fillers are no places to swap at
        activations.append(read_trials(site, longer, swappable, kept, context, stepwise=True))
    return activations


def read_paired_activations(
    sites: Sequence[Readable], count: int, context: RunContext
) -> list[Float[Tensor, "samples width"]]:
    """Read the states of every site at the same positions of the same trials, with aligned rows.

    Raises:
        InvalidArgument: The sites have different tasks, or one is a recording, which has trials of its own.
    """
    run = [require_site(site, "paired states are those of the same trials") for site in sites]
    require_same_trials(run)
    drawn = run[0].task.trials(min(count, MAX_TRIALS), context.numpy("paired", "trials"))
    places = run[0].task.swappable(drawn.tokens)
    return [read_trials(site, drawn, places, places, context, with_prefix=False).sampled for site in run]


def require_same_trials(sites: Sequence[Site]) -> None:
    """Check that the sites can read the same trials: they have the same task, with the same vocabulary.

    Raises:
        InvalidArgument: The sites have different tasks, or tasks with different tokens.
    """
    for site in sites[1:]:
        if (site.task.name, site.task.vocabulary) != (sites[0].task.name, sites[0].task.vocabulary):
            raise InvalidArgument(
                f"paired states need the same trials: {sites[0].name} is of {_about(sites[0].task)}, "
                f"{site.name} of {_about(site.task)}"
            )


_Kind = TypeVar("_Kind", bound=Trials)


def _by_length(trials: _Kind) -> _Kind:
    """Return the trials sorted by length, the shortest first, so that trials read together need few pads."""
    return cast("_Kind", trials[np.argsort(trials.lengths, kind="stable")])


def _about(task: Task) -> str:
    return f"{task.name} ({' '.join(task.vocabulary.tokens)})"


def read_trials(
    site: Readable,
    trials: Trials,
    swappable: Bool[np.ndarray, "trials time"],
    kept: Bool[np.ndarray, "trials time"],
    context: RunContext,
    *,
    stepwise: bool = False,
    with_prefix: bool = True,
) -> Activations:
    """Read the states of a site on some trials.

    Args:
        site: The site.
        trials: The trials.
        swappable: The places where a state may be swapped.
        kept: The places whose states are kept.
        context: The context, which reads.
        stepwise: Whether the states of all positions up to a sample's are swapped with it.
        with_prefix: Whether the prefix is kept, for a target.

    Raises:
        InvalidArgument: States are NaN or infinite, or no place is swappable.
    """
    trial, position = swappable.nonzero()
    if len(trial) == 0:
        where = f": a swap follows {' '.join(site.task.swap_at)}" if isinstance(site, Site) else ""
        raise InvalidArgument(f"{site.task.name} has no position to swap at in {len(trials):,} trials{where}")
    present: Bool[np.ndarray, "trials time"] = kept | (np.arange(kept.shape[1]) < trials.lengths[:, None])

    request = ReadingRequest(
        lambda chunk, time: site.trial_inputs(trials[chunk], time),
        present,
        kept,
        stepwise=stepwise,
        with_prefix=with_prefix,
    )
    if isinstance(site, Site):
        states, prefix = context.read(site, request)
    else:
        states, prefix = fill_tables(
            site, request, lambda chunk, time: [site.states_and_prefix(trials[chunk], time, stepwise)], context.store
        )
    keys = np.flatnonzero(kept)
    return Activations(
        trials, trial, position, site.device, states, keys, kept.shape[1], prefix, stepwise, site.name, with_prefix
    )


def unlabelled(
    site: Readable,
    positions: Int[np.ndarray, "rows swaps"],
    kept: Bool[np.ndarray, "rows time"],
    states: Float[Tensor, "states width"],
    prefix: Prefix | None,
    *,
    stepwise: bool = False,
) -> Activations:
    """Return the activations of a site on inputs of which no variable is known: one sample for each.

    Args:
        site: The site.
        positions: The positions of the swaps in each input.
        kept: The places whose states were kept.
        states: The state of each of these places.
        prefix: The prefix of all inputs, or `None` if it was not kept.
        stepwise: Whether the states of all positions up to a sample's are swapped with it.
    """
    nothing = np.zeros((len(positions), 1), dtype=np.int64)
    return Activations(
        Sequences(nothing, nothing.astype(bool), {}),
        np.arange(len(positions)),
        positions[:, 0],
        site.device,
        states,
        np.flatnonzero(kept),
        kept.shape[1],
        prefix or Prefix.empty(),
        stepwise,
        site.name,
        prefix is not None,
    )


def lengthen(task: Task, trials: Sequences, time: int) -> tuple[Sequences, Bool[np.ndarray, "trials time"]]:
    """Replace E and pads by the task's filler up to `time` tokens.

    The values of the variables after a filler are those that the task computes from it, even where the task would not
    write it.

    Returns:
        The lengthened trials, and which positions exist: all of them or, if the task has no filler, those before E.
    """
    trials = trials.padded(time)
    over = (trials.tokens == 0) | (trials.tokens == task.vocabulary.id(END))
    if task.filler is None:
        return trials, ~over
    tokens = np.where(over, task.vocabulary.id(task.filler), trials.tokens)
    values = {name: trials.values[name].copy() for name in task.variables}
    for position in range(1, time):
        read = task.read({name: value[:, position - 1] for name, value in values.items()}, tokens[:, position])
        for name, value in values.items():
            value[:, position] = np.where(over[:, position], read[name], value[:, position])
    return Sequences(tokens, trials.determined & ~over, values | task.read_back(tokens)), np.ones_like(over)
