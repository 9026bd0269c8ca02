"""The base of sites in a transformer's residual stream: only the layers above a swap run, from its position on.

A swap at position t changes the input of the layers above at position t, and nothing at earlier positions. The keys and
values of all earlier positions are therefore computed once, and only the layers above run, from position t on. The
layers below read the tokens of the expected output but never the swap, so that they run without a gradient.
"""

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from jaxtyping import Float, Int
from torch import Tensor
from typing_extensions import override

from causalign.networks.base import Network
from causalign.sites.base import Continuation, Places, Site
from causalign.sites.prefix import Prefix
from causalign.sites.readable import Reading
from causalign.tasks.base import Task

_AT_ONCE = 2**24  # numbers of the residual stream in one pass; this bounds the memory of the layers

KeysValues = tuple[Float[Tensor, "trials time ..."], Float[Tensor, "trials time ..."]]


@dataclass(frozen=True, eq=False)
class Rows:
    """The trial and the column of each row of packed states.

    Attention lays the rows out in one block for each trial. All other operations work on packed rows.
    """

    trial: Int[Tensor, " rows"]
    """The trial of each row."""
    column: Int[Tensor, " rows"]
    """The column of each row in the block of its trial."""
    start: Int[Tensor, " trials"]
    """The position of the first column of each block."""

    @property
    def position(self) -> Int[Tensor, " rows"]:
        """The position of each row in its trial."""
        return self.start[self.trial] + self.column

    @cached_property
    def columns(self) -> int:
        """The number of columns of the longest block."""
        return int(self.column.max()) + 1

    @cached_property
    def _place(self) -> Int[Tensor, " rows"]:
        return self.trial * self.columns + self.column

    def blocks(self, packed: Float[Tensor, "rows ..."]) -> Float[Tensor, "trials columns ..."]:
        """Return packed rows laid out by trial and column, with zeros where a trial has no row."""
        entry = packed.shape[1:]
        laid_out = packed.new_zeros(len(self.start) * self.columns, *entry)
        return laid_out.index_copy(0, self._place.to(packed.device), packed).view(len(self.start), self.columns, *entry)

    def packed(self, blocks: Float[Tensor, "trials columns ..."]) -> Float[Tensor, "rows ..."]:
        """Return blocks as packed rows: the inverse of `blocks`."""
        return blocks.flatten(0, 1).index_select(0, self._place.to(blocks.device))


@dataclass(frozen=True, eq=False)
class CachedPrefix:
    """Keys and values of the positions before packed rows. Each trial sees the first `seen` of its positions."""

    prefix: Prefix
    trial: Int[Tensor, " trials"]
    """The input in `prefix` of each trial."""
    seen: Int[Tensor, " trials"]
    """Number of earlier positions that each trial sees."""

    @cached_property
    def length(self) -> int:
        """The largest number of positions that a trial sees."""
        return int(self.seen.max())

    def of(self, layer: int, like: Tensor) -> KeysValues:
        """Return the keys and values of one layer, on the device and in the precision of `like`."""
        keys, values = (self.prefix.before(name, self.trial, self.length).to(like) for name in _names(layer))
        return keys, values


class ResidualStream(Site):
    """The residual stream after `layer` of `depth` layers. Layer 0 is the input of the first layer."""

    shares_prefix = True

    def __init__(self, network: Network, task: Task, *, at: str, layer: int, depth: int) -> None:
        self._bind(network, at, task, network.width)
        self._below, self._above = range(layer), range(layer, depth)
        self.feeds = layer > 0

    @abstractmethod
    def embed(self, tokens: Int[Tensor, "*rows"], positions: Int[Tensor, "*rows"]) -> Float[Tensor, "*rows width"]:
        """Return the residual stream before the first layer."""

    @abstractmethod
    def run_whole(
        self, layers: range, residual: Float[Tensor, "trials time width"]
    ) -> tuple[Float[Tensor, "trials time width"], list[KeysValues]]:
        """Run some layers over whole trials. Return the residual stream, and the keys and values of each layer."""

    @abstractmethod
    def run_rows(
        self, layers: range, residual: Float[Tensor, "rows width"], rows: Rows, prefix: CachedPrefix | None
    ) -> Float[Tensor, "rows width"]:
        """Run some layers over packed rows.

        Each row attends to the prefix and to the columns of its trial up to its own.
        """

    def _parts(self, tokens: Int[Tensor, "trials time"]) -> Iterator[Float[Tensor, "part time width"]]:
        """Yield the residual stream before the first layer, a few trials at a time."""
        for part in tokens.split(max(1, _AT_ONCE // (self.width * tokens.shape[1]))):
            yield self.embed(part, torch.arange(tokens.shape[1], device=tokens.device).expand_as(part))

    @override
    def read(self, tokens: Int[Tensor, "trials time"]) -> Float[Tensor, "trials time width"]:
        ((states, _),) = self.read_sites([self], tokens, stepwise=False, with_prefix=False)
        return states

    @override
    def prefix(self, tokens: Int[Tensor, "trials time"], stepwise: bool = False) -> Prefix:
        """Return the keys and values at every position.

        They are those of all layers. For stepwise swaps they are those of the layers below the site, which no swap
        changes.
        """
        ((_, prefix),) = self.read_sites([self], tokens, stepwise=stepwise, with_prefix=True)
        return prefix

    @classmethod
    @override
    @torch.no_grad()
    def read_sites(
        cls, sites: Sequence["ResidualStream"], inputs: Int[Tensor, "trials time"], *, stepwise: bool, with_prefix: bool
    ) -> list[Reading]:
        """Run the layers once, and keep the residual stream at every site, and the keys and values of every layer."""
        network = sites[0]
        last = network._above.stop if with_prefix and not stepwise else max(site._above.start for site in sites)
        stops = sorted({site._above.start for site in sites} | {last})
        streams: dict[int, list[Tensor]] = {stop: [] for stop in stops}
        cached: list[list[KeysValues]] = []
        for residual in network._parts(inputs):
            done, of_layers = 0, list[KeysValues]()
            for stop in stops:
                residual, some = network.run_whole(range(done, stop), residual)
                streams[stop].append(residual.clone())  # later layers may work in place
                of_layers += some if with_prefix else []
                done = stop
            cached.append(of_layers)
        states = {stop: torch.cat(parts) for stop, parts in streams.items()}
        tables = _keys_values(cached)
        return [(states[site._above.start], site._prefix_of(tables, stepwise)) for site in sites]

    def _prefix_of(self, tables: Mapping[str, Tensor], stepwise: bool) -> Prefix:
        """Return the prefix of this site, from the keys and values of all layers that were run."""
        layers = self._below if stepwise else range(self._above.stop)
        names = [name for layer in layers for name in _names(layer)] if tables else []
        return Prefix.padded({name: tables[name] for name in names})

    @override
    @torch.no_grad()
    def feed(self, prefix: Prefix, places: Places, continuation: Continuation) -> Float[Tensor, "fed width"]:
        trial, step = continuation.behind_first
        laid_out = continuation.tokens.new_zeros(continuation.running[0], len(continuation.running))
        laid_out[continuation.trial, continuation.step] = continuation.tokens
        rows = Rows(trial, step, places.position + 1)
        residual = self.embed(laid_out[trial, step], rows.position)
        if len(residual) and self._below:
            residual = self.run_rows(
                self._below, residual, rows, CachedPrefix(prefix, places.trial, places.position + 1)
            )
        return residual

    def _fed(self, prefix: Prefix, places: Places, continuation: Continuation) -> Float[Tensor, "fed width"]:
        return self.feed(prefix, places, continuation) if continuation.fed is None else continuation.fed

    @override
    def run_from(
        self, prefix: Prefix, places: Places, state: Float[Tensor, "trials width"], continuation: Continuation
    ) -> Float[Tensor, "tokens width"]:
        fed = self._fed(prefix, places, continuation)
        rows = Rows(continuation.trial, continuation.step, places.position)
        cached = CachedPrefix(prefix, places.trial, places.position)
        return self.run_rows(self._above, torch.cat([state, fed]), rows, cached)

    @override
    def run_from_positions(
        self,
        prefix: Prefix,
        places: Places,
        states: Float[Tensor, "trials swaps width"],
        continuation: Continuation,
    ) -> Float[Tensor, "tokens width"]:
        """Run on from the first swap. States of later swaps take the place of those that the tokens there bring."""
        assert places.later is not None
        trial, swap = (places.later > 0).nonzero(as_tuple=True)
        step = places.later[trial, swap] - places.position[trial] - 1
        fed = self._fed(prefix, places, continuation)
        fed = fed.index_put((continuation.fed_entry(trial, step),), states[trial, 1 + swap].to(fed.dtype))
        return self.run_from(prefix, places, states[:, 0], replace(continuation, fed=fed))

    @override
    def run_from_steps(
        self,
        prefix: Prefix,
        places: Places,
        states: Float[Tensor, "trials steps width"],
        continuation: Continuation,
    ) -> Float[Tensor, "tokens width"]:
        fed = self._fed(prefix, places, continuation)
        after, step = continuation.behind_first
        steps = torch.arange(states.shape[1], device=states.device)
        trial, position = (steps <= places.position[:, None]).nonzero(as_tuple=True)
        residual = torch.cat([states[trial, position], fed])
        # The block of a trial begins at its position 0, so that no prefix precedes it.
        column = torch.cat([position, places.position[after] + 1 + step])
        rows = Rows(torch.cat([trial, after]), column, torch.zeros_like(places.position))
        residual = self.run_rows(self._above, residual, rows, None)
        predicting = column >= places.position[rows.trial]  # the last swapped position of each trial and later ones
        return residual[predicting]


def _names(layer: int) -> tuple[str, str]:
    """Return the names of the tables of a layer's keys and values."""
    return f"keys.{layer}", f"values.{layer}"


def _keys_values(parts: Sequence[Sequence[KeysValues]]) -> dict[str, Tensor]:
    """Return the keys and values of every layer by name, from those of some trials at a time."""
    tables = {}
    for layer, of_layer in enumerate(zip(*parts, strict=True)):
        for name, each in zip(_names(layer), zip(*of_layer, strict=True), strict=True):
            tables[name] = torch.cat(each)
    return tables
