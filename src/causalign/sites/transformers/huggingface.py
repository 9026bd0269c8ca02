"""The sites of Hugging Face's causal language models: the residual stream before the first and after every layer."""

from functools import cached_property, partial

import torch
from jaxtyping import Float, Int
from torch import Tensor
from typing_extensions import override

from causalign.errors import InvalidArgument
from causalign.networks.huggingface import HuggingFace
from causalign.networks.module import submodules
from causalign.networks.site_registry import SiteFactory, register_site
from causalign.sites.base import Site
from causalign.sites.transformers.attention import (
    AttentionFunction,
    FullAttention,
    PackedAttention,
    Prompt,
    lend_attention,
)
from causalign.sites.transformers.residual_stream import CachedPrefix, KeysValues, ResidualStream, Rows
from causalign.tasks.base import Task


class HuggingFaceResidual(ResidualStream):
    """The residual stream after `layer` layers. Layer 0 is the input of the first layer, learned positions included.

    Positions of a trial are counted from B. The prompt before B is read once, and all trials attend to the same keys
    and values of it.
    """

    network: HuggingFace

    def __init__(self, network: HuggingFace, task: Task, *, at: str, layer: int) -> None:
        super().__init__(network, task, at=at, layer=layer, depth=len(network.layers))

    @override
    def embed(self, tokens: Int[Tensor, "*rows"], positions: Int[Tensor, "*rows"]) -> Float[Tensor, "*rows width"]:
        positions = positions + self._before
        self._require_reach(positions)
        return self.network.embed(tokens, positions)

    @property
    def _before(self) -> int:
        return len(self.network.prompt)

    @cached_property
    @torch.no_grad()
    def _prompt(self) -> Prompt | None:
        """Keys and values of the prompt; `None` if there is no prompt."""
        if not self._before:
            return None
        positions = torch.arange(self._before, device=self.device)[None]
        tokens, whole = torch.tensor([self.network.prompt], device=self.device), FullAttention()
        self._run(range(self._above.stop), self.network.embed(tokens, positions), positions, whole)
        return Prompt(self._before, whole.cached)

    @override
    def run_whole(
        self, layers: range, residual: Float[Tensor, "trials time width"]
    ) -> tuple[Float[Tensor, "trials time width"], list[KeysValues]]:
        whole = FullAttention(self._prompt)
        positions = torch.arange(residual.shape[1], device=residual.device)[None] + self._before
        return self._run(layers, residual, positions, whole), whole.cached

    @override
    def run_rows(
        self, layers: range, residual: Float[Tensor, "rows width"], rows: Rows, prefix: CachedPrefix | None
    ) -> Float[Tensor, "rows width"]:
        positions = rows.position[None] + self._before
        return self._run(layers, residual[None], positions, PackedAttention(rows, prefix, self._prompt))[0]

    def _run(
        self,
        layers: range,
        residual: Float[Tensor, "batch time width"],
        positions: Int[Tensor, "#batch time"],
        attending: AttentionFunction,
    ) -> Float[Tensor, "batch time width"]:
        """Run some layers, each on its own device, and return the residual stream on the device where it was."""
        turns, modules, device = self.network.turns(residual, positions), self.network.layers, residual.device
        with lend_attention(self.network.model.config):
            for index in layers:
                here = next(modules[index].parameters()).device
                turn = turns[index]
                residual = modules[index](
                    residual.to(here),
                    attention_mask=None,
                    position_embeddings=None if turn is None else tuple(each.to(here) for each in turn),
                    attending=attending,
                )
        return residual.to(device)

    def _require_reach(self, positions: Int[Tensor, "*rows"]) -> None:
        reach = self.network.reach
        if len(positions) and (time := int(positions.max()) + 1) > reach:
            raise InvalidArgument(f"{self.name}: trials of {time} tokens are too long; the model has {reach} positions")

    @override
    def read_out(self, features: Float[Tensor, "tokens width"]) -> Float[Tensor, "tokens vocabulary"]:
        return self.network.read_out(features)


def _by_hooks(network: HuggingFace, task: Task, *, at: str) -> Site:
    return network.by_hooks(task).site(at)


def _places(network: HuggingFace) -> dict[str, SiteFactory]:
    """Return the sites of a model: the residual stream before the first and after every layer, and all submodules."""
    layers = {f"layer.{n}": partial(HuggingFaceResidual, layer=n) for n in range(1, len(network.layers) + 1)}
    names = {"embedding": partial(HuggingFaceResidual, layer=0), **layers}
    found: dict[str, SiteFactory] = {at: partial(residual, at=at) for at, residual in names.items()}
    of_layer = {id(layer): found[at] for at, layer in zip(layers, network.layers, strict=True)}
    paths = submodules(network.model)
    return found | {path: of_layer.get(id(each), partial(_by_hooks, at=path)) for path, each in paths.items()}


register_site(HuggingFace, _places)
