"""Recorded states: what is read of a network once, for every intervention that will be drawn."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar, cast

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from causalign.errors import CausalignError
from causalign.random_streams import numpy_stream
from causalign.sites.base import Site, require_site
from causalign.sites.readable import Prefix, Readable, finite
from causalign.storage import Store, forget_mapped_pages, rows_of
from causalign.tasks.base import END, Sequences, Task
from causalign.tasks.causal_model import Values
from causalign.tasks.trials import Trials

MAX_TRIALS = 4096  # read for one split; their states at all positions are paired at random
_CHUNK = 1024  # trials read at a time,
_BYTES = 2**25  # or fewer, where their states would take more than this
Read = tuple[Float[Tensor, "trials time width"], Prefix]
"""States, and what precedes swaps there."""


@dataclass(frozen=True, eq=False)
class Activations:
    """A site's states on some trials, and all else about these trials that a swap in them needs.

    A sample is a position where a single state may be swapped.
    """

    trials: Trials
    trial: Int[np.ndarray, " samples"]
    position: Int[np.ndarray, " samples"]
    device: torch.device
    """Where the states are needed; they may be kept elsewhere."""
    states: Float[Tensor, "rows width"]
    row: Int[np.ndarray, "trials time"]
    """Which row of `states` is that of a position; -1 where none was kept."""
    prefix: Prefix
    stepwise: bool = False
    """Whether the states of all positions up to a sample's go with it."""
    whose: str = ""
    """The name of the site."""

    @property
    def values(self) -> Values:
        """The value of every variable and reading at each sample."""
        return self.values_at(self.trial, self.position)

    def values_at(self, trial: Int[np.ndarray, " places"], position: Int[np.ndarray, " places"]) -> Values:
        """The value of every variable and reading at each place."""
        return {name: value[trial, position] for name, value in self.trials.values.items()}

    @property
    def sampled(self) -> Float[Tensor, "samples width"]:
        """The state of each sample."""
        return self.gather(torch.from_numpy(self.row[self.trial, self.position]))

    @property
    def nbytes(self) -> int:
        """Bytes of all tables."""
        return sum(table.nbytes for table in (self.states, *self.prefix.values()))

    def rows(
        self, trial: Int[np.ndarray, " places"], position: Int[np.ndarray, " places"]
    ) -> Int[np.ndarray, "places ..."]:
        """Rows of the states at each place; stepwise, of all positions up to it, and 0 beyond."""
        if not self.stepwise:
            return self.row[trial, position]
        up_to = self.row[trial, : position.max() + 1]
        return np.where(np.arange(up_to.shape[1]) <= position[:, None], up_to, 0)

    def gather(self, rows: Int[Tensor, "*rows"]) -> Float[Tensor, "*rows width"]:
        """Rows of the states, where they are needed."""
        return rows_of({"states": self.states}, rows)["states"].to(self.device)

    def labelled(self, names: Sequence[str]) -> tuple[Int[np.ndarray, "states names"], Int[Tensor, " states"]]:
        """What states stand for, and their rows: the values of the named variables.

        Stepwise a state stands for one token of many, and for what that token does to the values.
        """
        if not self.stepwise:
            values = self.values
            rows = torch.from_numpy(self.row[self.trial, self.position])
            return np.stack([values[name] for name in names], axis=1), rows
        last = np.zeros(len(self.trials), dtype=np.int64)
        np.maximum.at(last, self.trial, self.position)
        trial, position = (np.arange(self.row.shape[1]) <= last[:, None]).nonzero()
        changes = [np.diff(self.trials.values[name], axis=1, prepend=0) for name in names]
        did = [change[trial, position] for change in changes]
        labels = np.stack([position == 0, *did], axis=1).astype(np.int64)  # B begins; whatever it does, it is alone
        return labels, torch.from_numpy(self.row[trial, position])

    def sample(
        self, count: int, rng: np.random.Generator, among: Bool[np.ndarray, " samples"] | None = None
    ) -> Int[np.ndarray, " count"]:
        """Samples drawn with replacement: a trial uniformly, then one of its positions uniformly (A.2).

        `among` some of the samples, at least one, only these and their trials are drawn from.
        """
        chosen = np.arange(len(self.trial)) if among is None else np.flatnonzero(among)
        first = np.searchsorted(self.trial[chosen], np.arange(len(self.trials)))
        many = np.bincount(self.trial[chosen], minlength=len(self.trials))
        trial = rng.choice(np.flatnonzero(many), count)
        return chosen[first[trial] + rng.integers(many[trial])]


def record(site: Site, trials: int, rng: np.random.Generator) -> Activations:
    """Read the states of `trials` new trials at every position where a swap may happen.

    Raises:
        CausalignError: states are NaN or infinite, or no trial has such a position.
    """
    drawn = site.task.trials(trials, rng)
    places = site.swappable(drawn)
    return read_trials(site, drawn, places, places, Store())


def read_activations(
    sites: Sequence[Readable], count: int, seed: int, split: str, stepwise: bool = False, store: Store | None = None
) -> list[Activations]:
    """Recorded states of every site, enough for `count` interventions of each direction.

    `split` names the random stream: different splits share no draw. Stepwise, all positions are kept, and the trials
    of each are lengthened to those of the longest, so that each can be a target up to any source's position.

    Raises:
        CausalignError: states are NaN or infinite, a site has no position to swap at, or, stepwise, is a recording.
    """
    trials, store = min(count, MAX_TRIALS), store or Store()
    streams = [numpy_stream(seed, split, "trials", index) for index in range(len(sites))]
    if stepwise:
        run = [require_site(site, "stepwise swaps lengthen its trials") for site in sites]
        return _record_stepwise(run, trials, streams, store)
    recorded = []
    for site, rng in zip(sites, streams, strict=True):
        drawn = _by_length(site.draw(trials, split, rng))
        places = site.swappable(drawn)
        recorded.append(read_trials(site, drawn, places, places, store))
    return recorded


def _record_stepwise(
    sites: Sequence[Site], trials: int, streams: Sequence[np.random.Generator], store: Store
) -> list[Activations]:
    drawn = [_by_length(site.task.trials(trials, rng)) for site, rng in zip(sites, streams, strict=True)]
    time = max(each.tokens.shape[1] for each in drawn)
    recorded = []
    for site, each in zip(sites, drawn, strict=True):
        longer, kept = lengthen(site.task, each, time)
        swappable = site.task.swappable(each.padded(time).tokens)  # not after the fillers
        recorded.append(read_trials(site, longer, swappable, kept, store, stepwise=True))
    return recorded


def read_paired_activations(sites: Sequence[Readable], count: int, seed: int) -> list[Float[Tensor, "samples width"]]:
    """The states of every site at the same positions of the same trials, row by row.

    Raises:
        CausalignError: the sites are of different tasks, or one is a recording, whose trials are its own.
    """
    run = [require_site(site, "paired states are those of the same trials") for site in sites]
    require_same_trials(run)
    drawn = run[0].task.trials(min(count, MAX_TRIALS), numpy_stream(seed, "paired", "trials"))
    places = torch.from_numpy(run[0].task.swappable(drawn.tokens))
    return [finite(site.read(site.encode(drawn.tokens)), site)[places.to(site.device)] for site in run]


def require_same_trials(sites: Sequence[Site]) -> None:
    """Check that the sites can be shown the same trials: one task, with one vocabulary.

    Raises:
        CausalignError: they are of different tasks, or of one whose tokens are not the same.
    """
    for site in sites[1:]:
        if (site.task.name, site.task.vocabulary) != (sites[0].task.name, sites[0].task.vocabulary):
            raise CausalignError(
                f"paired states need the same trials: {sites[0].name} is of {_about(sites[0].task)}, "
                f"{site.name} of {_about(site.task)}"
            )


_Kind = TypeVar("_Kind", bound=Trials)


def _by_length(trials: _Kind) -> _Kind:
    """The shortest first, so that trials read together have few pads."""
    return cast("_Kind", trials[np.argsort(trials.lengths, kind="stable")])


def _about(task: Task) -> str:
    return f"{task.name} ({' '.join(task.vocabulary.tokens)})"


def read_trials(
    site: Readable,
    trials: Trials,
    swappable: Bool[np.ndarray, "trials time"],
    kept: Bool[np.ndarray, "trials time"],
    store: Store,
    stepwise: bool = False,
) -> Activations:
    """A site's states at the positions that are `kept`, on given trials, in tables of the store.

    Raises:
        CausalignError: states are NaN or infinite, or no position is swappable.
    """
    trial, position = swappable.nonzero()
    if len(trial) == 0:
        where = f"a swap follows {' '.join(site.task.swap_at)}, and " if isinstance(site, Site) else ""
        raise CausalignError(f"{where}{site.task.name} has no place for one in {len(trials):,} trials")
    present: Bool[np.ndarray, "trials time"] = kept | (np.arange(kept.shape[1]) < trials.lengths[:, None])

    def read(chunk: slice, time: int) -> Read:
        return site.states_and_prefix(trials[chunk], time, stepwise)

    states, row, prefix = _tables(site, present, kept, store, read)
    return Activations(trials, trial, position, site.device, states, row, prefix, stepwise, site.name)


def read_tokens(
    site: Site,
    tokens: Int[Tensor, "trials time"],
    present: Bool[np.ndarray, "trials time"],
    kept: Bool[np.ndarray, "trials time"],
    store: Store,
    stepwise: bool,
) -> tuple[Float[Tensor, "rows width"], Int[np.ndarray, "trials time"], Prefix]:
    """States at the positions that are `kept`, which row of them each position has, and what precedes swaps there.

    Raises:
        CausalignError: states are NaN or infinite.
    """

    def read(chunk: slice, time: int) -> Read:
        part = tokens[chunk, :time]
        return site.read(part), site.prefix(part, stepwise)

    return _tables(site, present, kept, store, read)


def _tables(
    site: Readable,
    present: Bool[np.ndarray, "trials time"],
    kept: Bool[np.ndarray, "trials time"],
    store: Store,
    read: Callable[[slice, int], Read],
) -> tuple[Float[Tensor, "rows width"], Int[np.ndarray, "trials time"], Prefix]:
    """Tables of the store, filled some trials at a time, which are read up to the last position that is present."""
    states = store.table([int(kept.sum()), site.width], site.dtype, site.device)
    prefix: Prefix = {}
    step = max(1, min(_CHUNK, _BYTES // (kept.shape[1] * site.width * site.dtype.itemsize)))
    for start in range(0, len(kept), step):
        chunk = slice(start, min(start + step, len(kept)))
        longest = int(np.flatnonzero(present[chunk].any(axis=0)).max()) + 1
        found, before = read(chunk, longest)
        found = finite(found, site)[torch.from_numpy(kept[chunk, :longest]).to(site.device)]
        first = int(kept[:start].sum())
        states[first : first + len(found)] = found.to(states.device)
        for name, part in before.items():
            if name not in prefix:
                shape = [*kept.shape, *part.shape[2:]]
                prefix[name] = store.table(shape, part.dtype, part.device)
            prefix[name][chunk, :longest] = part.to(prefix[name].device)
        forget_mapped_pages()
    return states, np.where(kept, np.cumsum(kept).reshape(kept.shape) - 1, -1), prefix


def lengthen(task: Task, trials: Sequences, time: int) -> tuple[Sequences, Bool[np.ndarray, "trials time"]]:
    """The trials without E, each gone on with the task's filler up to `time` tokens; and which positions exist.

    The values are what the fillers make of them, whether or not the task can be there.
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
