"""What the sites in any transformer's residual stream share: only the layers above a swap run, from its position on.

A swap at position t changes what the layers above see of position t, and nothing before it. So the keys and values of
all earlier positions are computed once, and only the layers above run, from t on. The layers below see the
continuation's tokens, but never the swap: they run without a gradient.
"""

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float, Int
from torch import Tensor
from typing_extensions import override

from causalign.networks.base import Network
from causalign.sites.base import Continuation, Places, Site
from causalign.sites.prefix import Prefix
from causalign.tasks.base import Task

_AT_ONCE = 2**24  # numbers of the residual stream read in one pass, so that what layers need beside it stays small

KeysValues = tuple[Float[Tensor, "trials time ..."], Float[Tensor, "trials time ..."]]


@dataclass(frozen=True, eq=False)
class Rows:
    """Whose each row of packed states is: attention lays them out a block a trial, all else works on packed rows."""

    trial: Int[Tensor, " rows"]
    column: Int[Tensor, " rows"]
    """Of the trial's block."""
    start: Int[Tensor, " trials"]
    """The position of a block's first column."""

    @property
    def position(self) -> Int[Tensor, " rows"]:
        """Of each row in its trial."""
        return self.start[self.trial] + self.column

    @cached_property
    def columns(self) -> int:
        """Of the longest block."""
        return int(self.column.max()) + 1

    @cached_property
    def _place(self) -> Int[Tensor, " rows"]:
        return self.trial * self.columns + self.column

    def blocks(self, packed: Float[Tensor, "rows ..."]) -> Float[Tensor, "trials columns ..."]:
        """The rows laid out by trial and column, zeros where there is none."""
        entry = packed.shape[1:]
        laid_out = packed.new_zeros(len(self.start) * self.columns, *entry)
        return laid_out.index_copy(0, self._place.to(packed.device), packed).view(len(self.start), self.columns, *entry)

    def packed(self, blocks: Float[Tensor, "trials columns ..."]) -> Float[Tensor, "rows ..."]:
        """The rows out of their blocks."""
        return blocks.flatten(0, 1).index_select(0, self._place.to(blocks.device))


@dataclass(frozen=True, eq=False)
class CachedPrefix:
    """Keys and values of the positions before some rows, of which a trial sees the first `seen`."""

    prefix: Prefix
    trial: Int[Tensor, " trials"]
    """Which row of what was prepared."""
    seen: Int[Tensor, " trials"]

    @cached_property
    def length(self) -> int:
        """Of the longest: beyond it there is nothing to see."""
        return int(self.seen.max())

    def of(self, layer: int, like: Tensor) -> KeysValues:
        """The keys and values of one layer, on the device and in the precision of `like`."""
        names = (f"keys.{layer}", f"values.{layer}")
        keys, values = (self.prefix.before(name, self.trial, self.length).to(like) for name in names)
        return keys, values


class ResidualStream(Site):
    """The residual stream after `layer` of `depth` layers; 0 is what the first layer gets."""

    def __init__(self, network: Network, task: Task, *, at: str, layer: int, depth: int) -> None:
        self._bind(network, at, task, network.width)
        self._below, self._above = range(layer), range(layer, depth)
        self.feeds = layer > 0

    @abstractmethod
    def embed(self, tokens: Int[Tensor, "*rows"], positions: Int[Tensor, "*rows"]) -> Float[Tensor, "*rows width"]:
        """The residual stream before the first layer."""

    @abstractmethod
    def run_whole(
        self, layers: range, residual: Float[Tensor, "trials time width"]
    ) -> tuple[Float[Tensor, "trials time width"], list[KeysValues]]:
        """Some layers over whole trials, and the keys and values of each of them."""

    @abstractmethod
    def run_rows(
        self, layers: range, residual: Float[Tensor, "rows width"], rows: Rows, prefix: CachedPrefix | None
    ) -> Float[Tensor, "rows width"]:
        """Some layers over packed rows, each of which sees the prefix and the columns of its trial up to its own."""

    def _parts(self, tokens: Int[Tensor, "trials time"]) -> Iterator[Float[Tensor, "part time width"]]:
        """The residual stream before the first layer, a few trials at a time."""
        for part in tokens.split(max(1, _AT_ONCE // (self.width * tokens.shape[1]))):
            yield self.embed(part, torch.arange(tokens.shape[1], device=tokens.device).expand_as(part))

    @override
    @torch.no_grad()
    def read(self, tokens: Int[Tensor, "trials time"]) -> Float[Tensor, "trials time width"]:
        return torch.cat([self.run_whole(self._below, part)[0] for part in self._parts(tokens)])

    @override
    @torch.no_grad()
    def prefix(self, tokens: Int[Tensor, "trials time"], stepwise: bool = False) -> Prefix:
        """The keys and values at every position: of all layers, or stepwise of those below, which see no swap."""
        layers = self._below if stepwise else range(self._above.stop)
        parts = [self.run_whole(layers, part)[1] for part in self._parts(tokens)]
        return Prefix.padded(
            {
                f"{name}.{layer}": torch.cat([part[layer][which] for part in parts])
                for layer in layers
                for which, name in enumerate(("keys", "values"))
            }
        )

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
        # A trial's block begins at its position 0, and there is nothing before it.
        column = torch.cat([position, places.position[after] + 1 + step])
        rows = Rows(torch.cat([trial, after]), column, torch.zeros_like(places.position))
        residual = self.run_rows(self._above, residual, rows, None)
        predicting = column >= places.position[rows.trial]  # the last swapped position of each trial, and what follows
        return residual[predicting]
