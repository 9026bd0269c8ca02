"""Causal language models of Hugging Face's transformers, as networks."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from typing_extensions import override

from causalign.errors import InvalidArgument
from causalign.networks.adapter import adapter_suffix
from causalign.networks.base import Network
from causalign.networks.devices import run_there
from causalign.networks.initialisation import untrained_copy
from causalign.networks.module import ModuleNetwork, require_decoder
from causalign.networks.quantization import require_unquantized
from causalign.networks.token_ids import require_distinct, require_known
from causalign.networks.wrapper import unwrap
from causalign.tasks.base import Task
from causalign.tasks.no_task import NoTask
from causalign.tasks.vocabulary import PAD, Vocabulary

Turn = tuple[Float[Tensor, "*rows half"], Float[Tensor, "*rows half"]]
"""Cosine and sine of the angles by which rotary positions rotate queries and keys."""


@dataclass(frozen=True)
class _Family:
    """The names of the parts of models of one family."""

    layers: str = "layers"
    norm: str = "norm"
    """The norm after the last layer."""
    positions: str | None = None
    """The learned positions, which are added to the token embedding; `None` for rotary positions."""


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
    """A decoder-only model from `AutoModelForCausalLM`, frozen. Its weights are shared, not copied.

    Args:
        model: The model, or a `PeftModel` around it. It is put into evaluation mode, and its weights take no gradient
            from now on.
        task: The task whose trials the model reads. Without a task, a counterfactual dataset supplies the inputs.
        tokens: The model's id of each of the task's tokens. The pad `P` may be left out, because pads come last in a
            trial, where no other token attends to them.
        name: The model's name in results. By default the name in its configuration.
        prompt: Ids that are read before every trial, ahead of B. Positions are counted from B, and no swap is in the
            prompt.

    Raises:
        InvalidArgument: The type of the model is not supported, an id is unknown to the model or belongs to two tokens,
            or a token of the task has no id.
    """

    architecture = "huggingface"

    def __init__(
        self,
        model: nn.Module,
        task: Task | None = None,
        tokens: Mapping[str, int] | None = None,
        name: str | None = None,
        prompt: Sequence[int] = (),
    ) -> None:
        task, tokens = task or NoTask(), tokens or {}
        of: Any = unwrap(model)  # the attributes of transformers' models are not typed here
        self._family = _family_of(of)
        self._ids = {PAD: 0, **tokens}
        super().__init__(Vocabulary(tuple(self._ids)), task, of.get_input_embeddings().weight.shape[1])
        self.model = of
        self.name = name or (of.config.name_or_path or of.config.model_type) + adapter_suffix(of)
        self.prompt = tuple(prompt)
        require_distinct(self._ids, min(self.inputs, self.known), self.name)
        require_known({f"token {n} of the prompt": each for n, each in enumerate(prompt)}, self.inputs, self.name)
        task.vocabulary.within(self._ids, whose=self.name)
        self.freeze()

    @override
    def untrained(self, seed: int) -> "HuggingFace":
        model = untrained_copy(self.model, seed, self.name)
        fresh = HuggingFace(model, self.task, self._ids, f"untrained:{self.name}/{seed}", self.prompt)
        fresh.tolerance = self.tolerance
        return fresh

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
        embeddings: int = self.model.get_input_embeddings().weight.shape[0]  # a tuned layer has a weight too
        return embeddings

    @override
    def forward(self, tokens: Int[Tensor, "trials time"]) -> Float[Tensor, "trials time vocabulary"]:
        before = torch.tensor(self.prompt, dtype=tokens.dtype, device=tokens.device).expand(len(tokens), -1)
        logits: Tensor = self.model(input_ids=torch.cat([before, tokens], dim=1), use_cache=False).logits
        return logits[:, len(self.prompt) :]

    def as_module(self) -> ModuleNetwork:
        """Return the model as a module that is run as a whole, with the same weights, for places found by hooks."""
        return ModuleNetwork(self.model, self.task, self._ids, self.name, self.tolerance, prompt=self.prompt)

    @override
    def next_logits(
        self, tokens: Int[Tensor, "trials time"], past: Any = None
    ) -> tuple[Float[Tensor, "trials vocabulary"], Any]:
        """Return the logits of the token after the last one, and the keys and values of all tokens up to it."""
        if past is None:
            before = torch.tensor(self.prompt, dtype=tokens.dtype, device=tokens.device).expand(len(tokens), -1)
            tokens = torch.cat([before, tokens], dim=1)
        output = self.model(input_ids=tokens, past_key_values=past, use_cache=True, logits_to_keep=1)
        return output.logits[:, -1], output.past_key_values

    @property
    def layers(self) -> list[nn.Module]:
        """The decoder layers, from the lowest to the highest."""
        return list(getattr(self.model.base_model, self._family.layers))

    def embed(self, tokens: Int[Tensor, "*rows"], positions: Int[Tensor, "*rows"]) -> Float[Tensor, "*rows width"]:
        """Return the residual stream before the first layer.

        Args:
            tokens: Token ids, `[*rows]`.
            positions: The position of each token, `[*rows]`, counted from the first token of the prompt.
        """
        residual: Tensor = self.model.get_input_embeddings()(tokens)
        if self._family.positions is not None:
            residual = residual + getattr(self.model.base_model, self._family.positions)(positions)
        return residual

    def turns(
        self, residual: Float[Tensor, "trials time width"], positions: Int[Tensor, "#trials time"]
    ) -> list[Turn | None]:
        """Return the rotation of queries and keys in every layer; `None` for models without rotary positions."""
        if self._family.positions is not None:
            return [None] * len(self.layers)
        rotary = self.model.base_model.rotary_emb
        if not isinstance(rotary.rope_type, dict):
            return [rotary(residual, positions)] * len(self.layers)
        # Gemma 3 rotates by other angles in each type of layer.
        of_type = {each: rotary(residual, positions, each) for each in rotary.rope_type}
        return [of_type[each] for each in self.model.config.layer_types]

    def read_out(self, residual: Float[Tensor, "*rows width"]) -> Float[Tensor, "*rows vocabulary"]:
        """Return the logits of the residual stream after the last layer."""
        norm, head = getattr(self.model.base_model, self._family.norm), self.model.get_output_embeddings()
        logits = run_there(head, run_there(norm, residual))
        cap = getattr(self.model.config, "final_logit_softcapping", None)
        return logits if cap is None else cap * torch.tanh(logits / cap)

    @property
    def reach(self) -> int:
        """The number of positions that the model supports, those of the prompt included.

        Learned positions do not exist beyond it. Models with rotary positions were not made for longer inputs. Some of
        them rotate every position of a longer input by other angles, so that cached keys would no longer be valid.
        """
        config = self.model.config
        if self._family.positions is not None:
            return getattr(self.model.base_model, self._family.positions).num_embeddings
        if self.model.base_model.rotary_emb.rope_type == "longrope":
            return config.rope_parameters["original_max_position_embeddings"]
        return config.max_position_embeddings

    @override
    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "HuggingFace":
        """Move or cast the weights.

        Rotary frequencies are moved but not cast, because angles at half precision would be wrong.
        """

        def weights_only(tensor: Tensor) -> Tensor:
            applied = fn(tensor)
            cast = applied.dtype != tensor.dtype and not isinstance(tensor, nn.Parameter)
            return tensor.to(applied.device) if cast else applied

        super()._apply(weights_only, recurse)  # type: ignore[no-untyped-call]
        return self


def is_supported(model: Any) -> bool:
    """Return whether a model is one of transformers, of a type that `HuggingFace` supports.

    Wrappers that only pass on the attributes of such a model are not.
    """
    ours = any(kind.__module__.startswith("transformers.") for kind in type(model).__mro__)
    return ours and is_supported_type(_kind(model)) and model.get_output_embeddings() is not None


def is_supported_type(model_type: str) -> bool:
    """Return whether `HuggingFace` supports models of a type, as configurations name it."""
    return model_type in _FAMILIES


def _kind(model: Any) -> str:
    return getattr(getattr(model, "config", None), "model_type", type(model).__name__)


def _family_of(model: Any) -> _Family:
    """Check that a model can be run layer by layer, and return the names of its parts.

    Raises:
        InvalidArgument: The model is an encoder-decoder, attends to later tokens, does not predict the next token, is
            quantized or offloaded, or is of another family.
    """
    require_decoder(getattr(model, "config", None), type(model).__name__)
    name = f"{type(model).__name__} ({_kind(model)})"
    if not is_supported(model):
        raise InvalidArgument(
            f"{name} is not supported; the supported types of causal language models, which predict the next token, "
            f"are {', '.join(_FAMILIES)}"
        )
    if getattr(model.config, "use_bidirectional_attention", False):
        raise InvalidArgument(f"{name} attends to later tokens (use_bidirectional_attention); it is not a causal model")
    require_unquantized(model, name)
    if any(weight.is_meta for weight in model.parameters()):
        raise InvalidArgument(
            f"{name} has weights that are offloaded because it does not fit into memory; load it as bfloat16"
        )
    return _FAMILIES[_kind(model)]
