"""The sites of the transformer: the residual stream after any of its layers, the embedding being that before the first.

A swap at position t changes what the layers above see of position t, and nothing before it. So the keys and values of
all earlier positions are computed once, and only the layers above run, from t on. The layers below see the
continuation's tokens, but never the swap: they run without a gradient.
"""

from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional
from typing_extensions import override

from causalign.networks import Transformer
from causalign.networks.transformer import Layer
from causalign.sites._base import Continuation, Places, Prepared, Site, gathered
from causalign.tasks import Task


@dataclass(frozen=True, eq=False)
class _Rows:
    """Whose each row of packed states is: attention lays them out a block a trial, all else works on packed rows."""

    trial: Int[Tensor, " rows"]
    column: Int[Tensor, " rows"]
    """Of the trial's block."""
    position: Int[Tensor, " rows"]
    trials: int

    def blocks(self, packed: Float[Tensor, "rows width"]) -> Float[Tensor, "trials columns width"]:
        """The rows laid out by trial and column, zeros where there is none."""
        columns = int(self.column.max()) + 1
        laid_out = packed.new_zeros(self.trials * columns, packed.shape[1])
        return laid_out.index_copy(0, self.trial * columns + self.column, packed).view(self.trials, columns, -1)


@dataclass(frozen=True, eq=False)
class _Cache:
    """Keys and values of the positions before the rows, of which a trial sees the first `seen`."""

    keys: Float[Tensor, "trials time width"]
    values: Float[Tensor, "trials time width"]
    seen: Int[Tensor, " trials"]


def _run(
    layer: Layer, residual: Float[Tensor, "rows width"], rows: _Rows, cache: _Cache | None
) -> Float[Tensor, "rows width"]:
    """One layer over packed rows, each of which sees the cache and the columns of its trial up to its own."""
    projected = layer.attention.project(layer.attention_norm(residual), rows.position)
    query, key, value = (rows.blocks(part) for part in projected)
    columns = query.shape[1]
    visible = torch.ones(columns, columns, dtype=torch.bool, device=query.device).tril().expand(rows.trials, -1, -1)
    if cache is not None:
        time = torch.arange(cache.keys.shape[1], device=query.device)
        earlier = (time < cache.seen[:, None, None]).expand(-1, columns, -1)
        visible = torch.cat([earlier, visible], dim=2)
        key, value = torch.cat([cache.keys, key], dim=1), torch.cat([cache.values, value], dim=1)
    attended = functional.scaled_dot_product_attention(query, key, value, attn_mask=visible)
    return layer.finish(residual, attended[rows.trial, rows.column])


class Residual(Site):
    """The residual stream after `layer` layers; 0 is the token embedding."""

    network: Transformer

    def __init__(self, network: Transformer, task: Task, *, at: str, layer: int) -> None:
        super().__init__(network, at, task, network.width)
        self._layer = layer
        self._layers: list[Layer] = list(network.layers)  # type: ignore[arg-type]

    @override
    def read(self, tokens: Int[Tensor, "trials time"]) -> Float[Tensor, "trials time width"]:
        positions = torch.arange(tokens.shape[1], device=tokens.device)
        with torch.no_grad():
            residual: Tensor = self.network.embedding(tokens)
            for layer in self._layers[: self._layer]:
                residual = layer(residual, positions)
        return residual.detach()

    @override
    def prepare(self, tokens: Int[Tensor, "trials time"], stepwise: bool = False) -> Prepared:
        """The keys and values at every position: of all layers, or stepwise of those below, which see no swap."""
        positions = torch.arange(tokens.shape[1], device=tokens.device)
        prepared: Prepared = {}
        with torch.no_grad():
            residual = self.network.embedding(tokens)
            for index, layer in enumerate(self._layers[: self._layer] if stepwise else self._layers):
                _, keys, values = layer.attention.project(layer.attention_norm(residual), positions)
                prepared |= {f"keys.{index}": keys, f"values.{index}": values}
                residual = layer(residual, positions)
        return prepared

    def _cache(self, prepared: Prepared, index: int, places: Places, seen: Int[Tensor, " trials"]) -> _Cache:
        # Beyond the longest prefix of these trials there is nothing to see.
        tables = (prepared[f"{of}.{index}"][:, : int(seen.max())] for of in ("keys", "values"))
        keys, values = (gathered(table, self.network.embedding.weight, places.trial) for table in tables)
        return _Cache(keys, values, seen)

    def _fed(
        self, prepared: Prepared, places: Places, continuation: Continuation
    ) -> tuple[Float[Tensor, "fed width"], _Rows]:
        """The residual stream at this site of the continuation's tokens, all but the last: the swap never gets there.

        They are the rows of the continuation behind the first token of each trial.
        """
        trials = continuation.running[0]
        trial, step = continuation.trial[trials:], continuation.step[trials:]
        laid_out = continuation.tokens.new_zeros(trials, len(continuation.running))
        laid_out[continuation.trial, continuation.step] = continuation.tokens
        rows = _Rows(trial, step - 1, places.position[trial] + step, trials)
        with torch.no_grad():
            residual: Tensor = self.network.embedding(laid_out[trial, step - 1])
            for index, layer in enumerate(self._layers[: self._layer]):
                if len(residual):
                    residual = _run(layer, residual, rows, self._cache(prepared, index, places, places.position + 1))
        return residual, rows

    @override
    def run_on(
        self, prepared: Prepared, places: Places, state: Float[Tensor, "trials width"], continuation: Continuation
    ) -> Float[Tensor, "tokens width"]:
        fed, _ = self._fed(prepared, places, continuation)
        residual = torch.cat([state, fed])
        position = places.position[continuation.trial] + continuation.step
        rows = _Rows(continuation.trial, continuation.step, position, len(state))
        for index, layer in enumerate(self._layers[self._layer :], start=self._layer):
            residual = _run(layer, residual, rows, self._cache(prepared, index, places, places.position))
        return residual

    @override
    def run_on_steps(
        self,
        prepared: Prepared,
        places: Places,
        states: Float[Tensor, "trials steps width"],
        continuation: Continuation,
    ) -> Float[Tensor, "tokens width"]:
        fed, after = self._fed(prepared, places, continuation)
        steps = torch.arange(states.shape[1], device=states.device)
        trial, position = (steps <= places.position[:, None]).nonzero(as_tuple=True)
        residual = torch.cat([states[trial, position], fed])
        trial, position = torch.cat([trial, after.trial]), torch.cat([position, after.position])
        rows = _Rows(trial, position, position, len(states))  # a trial's block begins at its position 0
        for layer in self._layers[self._layer :]:
            residual = _run(layer, residual, rows, None)
        predicting = position >= places.position[trial]  # the last swapped position of each trial, and what follows
        return residual[predicting]

    @override
    def read_out(self, features: Float[Tensor, "tokens width"]) -> Float[Tensor, "tokens vocabulary"]:
        logits: Tensor = self.network.readout(self.network.norm(features))
        return logits


Transformer.site_types |= {
    "embedding": partial(Residual, at="embedding", layer=0),
    "hidden": partial(Residual, at="hidden", layer=1),
    **{f"layer.{n}": partial(Residual, at=f"layer.{n}", layer=n) for n in range(1, Transformer.depth + 1)},
}
