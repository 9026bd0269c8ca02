"""The sites of `Transformer`: the token embedding, and the residual stream after every layer."""

from functools import partial

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional
from typing_extensions import override

from causalign.networks.site_registry import SiteFactory, register_site
from causalign.networks.transformer import Layer, Transformer
from causalign.sites.transformers.residual_stream import CachedPrefix, KeysValues, ResidualStream, Rows
from causalign.tasks.base import Task


def _run(
    layer: Layer, index: int, residual: Float[Tensor, "rows width"], rows: Rows, prefix: CachedPrefix | None
) -> Float[Tensor, "rows width"]:
    """Run one layer over packed rows. A row attends to the prefix and to the columns of its trial up to its own."""
    projected = layer.attention.project(layer.attention_norm(residual), rows.position)
    query, key, value = (rows.blocks(part) for part in projected)
    columns, trials = query.shape[1], len(rows.start)
    visible = torch.ones(columns, columns, dtype=torch.bool, device=query.device).tril().expand(trials, -1, -1)
    if prefix is not None:
        keys, values = prefix.of(index, residual)
        time = torch.arange(prefix.length, device=query.device)
        earlier = (time < prefix.seen[:, None, None]).expand(-1, columns, -1)
        visible = torch.cat([earlier, visible], dim=2)
        key, value = torch.cat([keys, key], dim=1), torch.cat([values, value], dim=1)
    attended = functional.scaled_dot_product_attention(query, key, value, attn_mask=visible)
    return layer.finish(residual, rows.packed(attended))


class Residual(ResidualStream):
    """The residual stream after `layer` layers. Layer 0 is the token embedding."""

    network: Transformer

    def __init__(self, network: Transformer, task: Task, *, at: str, layer: int) -> None:
        super().__init__(network, task, at=at, layer=layer, depth=network.depth)
        self._layers: list[Layer] = list(network.layers)  # type: ignore[arg-type]

    @override
    def embed(self, tokens: Int[Tensor, "*rows"], positions: Int[Tensor, "*rows"]) -> Float[Tensor, "*rows width"]:
        embedded: Tensor = self.network.embedding(tokens)
        return embedded

    @override
    def run_whole(
        self, layers: range, residual: Float[Tensor, "trials time width"]
    ) -> tuple[Float[Tensor, "trials time width"], list[KeysValues]]:
        positions = torch.arange(residual.shape[1], device=residual.device)
        cached: list[KeysValues] = []
        for layer in (self._layers[index] for index in layers):
            _, keys, values = layer.attention.project(layer.attention_norm(residual), positions)
            cached.append((keys, values))
            residual = layer(residual, positions)
        return residual, cached

    @override
    def run_rows(
        self, layers: range, residual: Float[Tensor, "rows width"], rows: Rows, prefix: CachedPrefix | None
    ) -> Float[Tensor, "rows width"]:
        for index in layers:
            residual = _run(self._layers[index], index, residual, rows, prefix)
        return residual

    @override
    def read_out(self, features: Float[Tensor, "tokens width"]) -> Float[Tensor, "tokens vocabulary"]:
        logits: Tensor = self.network.readout(self.network.norm(features))
        return logits


_PLACES: dict[str, SiteFactory] = {
    "embedding": partial(Residual, at="embedding", layer=0),
    "hidden": partial(Residual, at="hidden", layer=1),
    **{f"layer.{n}": partial(Residual, at=f"layer.{n}", layer=n) for n in range(1, Transformer.depth + 1)},
}
register_site(Transformer, lambda _: _PLACES)
