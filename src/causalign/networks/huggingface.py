"""Causal language models of Hugging Face's transformers, as networks of the project."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from typing_extensions import override

from causalign.errors import InvalidArgument
from causalign.networks.base import Network
from causalign.networks.initialisation import untrained_copy
from causalign.networks.token_ids import require_distinct, require_known
from causalign.tasks.base import Task
from causalign.tasks.no_task import NoTask
from causalign.tasks.vocabulary import PAD, Vocabulary

Turn = tuple[Float[Tensor, "*rows half"], Float[Tensor, "*rows half"]]
"""Cosine and sine of the angles by which rotary positions turn queries and keys."""


@dataclass(frozen=True)
class _Family:
    """What a family of models calls its parts."""

    layers: str = "layers"
    norm: str = "norm"
    """That after the last layer."""
    positions: str | None = None
    """Learned positions, added to the token embedding."""


_FAMILIES = {
    "gemma": _Family(),
    "gemma2": _Family(),
    "gemma3_text": _Family(),
    "gpt2": _Family(layers="h", norm="ln_f", positions="wpe"),
    "gpt_neox": _Family(norm="final_layer_norm"),
    "llama": _Family(),
    "mistral": _Family(),
    "olmo": _Family(),
    "olmo2": _Family(),
    "olmo3": _Family(),
    "phi3": _Family(),
    "qwen2": _Family(),
    "qwen3": _Family(),
    "smollm3": _Family(),
    "starcoder2": _Family(),
}


class HuggingFace(Network):
    """A decoder-only model that `AutoModelForCausalLM` made, frozen; its weights are shared, not copied.

    Args:
        model: The model; it is put into evaluation mode, and its weights take no gradient from now on.
        task: Whose trials it is shown; none where all interventions are one's own.
        tokens: The model's id of each of the task's tokens. The pad `P` may be left out: pads come last in a trial,
            where nothing sees them.
        name: What it is called wherever it is reported; by default, as the model is.
        prompt: Ids that are read before every trial, ahead of B. Positions count from B, and no swap is in the prompt.

    Raises:
        InvalidArgument: the model is of a kind that is not supported, or `tokens` are not what the task needs.
    """

    architecture = "huggingface"
    tokenizer: Any = None
    """The tokenizer that belongs to the model, where it is known."""

    def __init__(
        self,
        model: nn.Module,
        task: Task | None = None,
        tokens: Mapping[str, int] | None = None,
        name: str | None = None,
        prompt: Sequence[int] = (),
    ) -> None:
        task, tokens = task or NoTask(), tokens or {}
        of: Any = model  # what transformers' models have beyond modules is in no type of ours
        self._family = _family_of(of)
        self._ids = {PAD: 0, **tokens}
        super().__init__(Vocabulary(tuple(self._ids)), task, of.get_input_embeddings().embedding_dim)
        self.model = of
        self.name = name or of.config.name_or_path or of.config.model_type
        self.prompt = tuple(prompt)
        require_distinct(self._ids, min(self.inputs, self.known), self.name)
        require_known({f"token {n} of the prompt": each for n, each in enumerate(prompt)}, self.inputs, self.name)
        task.vocabulary.within(self._ids, whose=self.name)
        self.freeze()

    @override
    def untrained(self, seed: int) -> "HuggingFace":
        model = untrained_copy(self.model, seed, self.name)
        return HuggingFace(model, self.task, self._ids, f"untrained:{self.name}/{seed}", self.prompt)

    @property
    @override
    def ids(self) -> Mapping[str, int]:
        return self._ids

    @property
    @override
    def known(self) -> int:
        """The number of logits."""
        logits: int = self.model.get_output_embeddings().weight.shape[0]
        return logits

    @property
    @override
    def inputs(self) -> int:
        """The number of input embeddings."""
        embeddings: int = self.model.get_input_embeddings().num_embeddings
        return embeddings

    @override
    def forward(self, tokens: Int[Tensor, "trials time"]) -> Float[Tensor, "trials time vocabulary"]:
        before = torch.tensor(self.prompt, dtype=tokens.dtype, device=tokens.device).expand(len(tokens), -1)
        logits: Tensor = self.model(input_ids=torch.cat([before, tokens], dim=1), use_cache=False).logits
        return logits[:, len(self.prompt) :]

    @property
    def layers(self) -> list[nn.Module]:
        """The decoder layers, the lowest first."""
        return list(getattr(self.model.base_model, self._family.layers))

    def embed(self, tokens: Int[Tensor, "*rows"], positions: Int[Tensor, "*rows"]) -> Float[Tensor, "*rows width"]:
        """The residual stream before the first layer."""
        residual: Tensor = self.model.get_input_embeddings()(tokens)
        if self._family.positions is not None:
            residual = residual + getattr(self.model.base_model, self._family.positions)(positions)
        return residual

    def turns(
        self, residual: Float[Tensor, "trials time width"], positions: Int[Tensor, "#trials time"]
    ) -> list[Turn | None]:
        """How every layer turns its queries and keys: not at all, where the model has no rotary positions."""
        if self._family.positions is not None:
            return [None] * len(self.layers)
        rotary = self.model.base_model.rotary_emb
        if not isinstance(rotary.rope_type, dict):
            return [rotary(residual, positions)] * len(self.layers)
        of_type = {each: rotary(residual, positions, each) for each in rotary.rope_type}  # Gemma 3: by kind of layer
        return [of_type[each] for each in self.model.config.layer_types]

    def read_out(self, residual: Float[Tensor, "*rows width"]) -> Float[Tensor, "*rows vocabulary"]:
        """The logits, from the residual stream after the last layer."""
        norm, head = getattr(self.model.base_model, self._family.norm), self.model.get_output_embeddings()
        normed = norm(residual.to(_device(norm, residual)))
        logits: Tensor = head(normed.to(_device(head, normed))).to(residual.device)
        cap = getattr(self.model.config, "final_logit_softcapping", None)
        return logits if cap is None else cap * torch.tanh(logits / cap)

    @property
    def reach(self) -> int:
        """How many positions the model is made for, the prompt's included.

        Learned positions end there. Rotary ones are not known beyond it, and some turn all of a longer trial otherwise,
        so that what was computed of its beginning would no longer hold.
        """
        config = self.model.config
        if self._family.positions is not None:
            return getattr(self.model.base_model, self._family.positions).num_embeddings
        if self.model.base_model.rotary_emb.rope_type == "longrope":
            return config.rope_parameters["original_max_position_embeddings"]
        return config.max_position_embeddings

    @override
    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "HuggingFace":
        """Move or cast the weights. Rotary frequencies are no weights: at half precision they would turn wrongly."""

        def weights_only(tensor: Tensor) -> Tensor:
            applied = fn(tensor)
            cast = applied.dtype != tensor.dtype and not isinstance(tensor, nn.Parameter)
            return tensor.to(applied.device) if cast else applied

        super()._apply(weights_only, recurse)  # type: ignore[no-untyped-call]
        return self


def _device(module: nn.Module, like: Tensor) -> torch.device:
    """Where a module is, and so what it is given has to be; anywhere, if it has no weights."""
    return next((weight.device for weight in module.parameters()), like.device)


def is_supported(model: Any) -> bool:
    """Whether a model is of a kind that `HuggingFace` takes."""
    return _kind(model) in _FAMILIES and getattr(model, "get_output_embeddings", lambda: None)() is not None


def _kind(model: Any) -> str:
    return getattr(getattr(model, "config", None), "model_type", type(model).__name__)


def _family_of(model: Any) -> _Family:
    """What the model calls its parts, once it is found that it can be run in parts.

    Raises:
        InvalidArgument: it looks ahead, predicts no next token, is quantised or offloaded, or of another family.
    """
    name = f"{type(model).__name__} ({_kind(model)})"
    if not is_supported(model):
        raise InvalidArgument(
            f"{name} is not supported; causal language models, which predict the next token, of the types "
            f"{', '.join(_FAMILIES)} are"
        )
    if getattr(model.config, "use_bidirectional_attention", False):
        raise InvalidArgument(f"{name} looks ahead (use_bidirectional_attention): it is no causal model")
    quantised = getattr(model.config, "quantization_config", None)
    if quantised is not None:
        how = quantised if isinstance(quantised, dict) else vars(quantised)
        raise InvalidArgument(f"{name} is quantised ({how.get('quant_method')}): load it as bfloat16 instead")
    if any(weight.is_meta for weight in model.parameters()):
        raise InvalidArgument(
            f"{name} has weights that are offloaded: it does not fit into memory; load it as bfloat16"
        )
    return _FAMILIES[_kind(model)]
