"""Models that were tuned with peft: adapters inside a module, and adapters that are saved by themselves."""

import json
import warnings
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import nn

from causalign.errors import FileFormatError, InvalidArgument, MissingDependency

CONFIG = "adapter_config.json"


@dataclass(frozen=True)
class Adapter:
    """A saved adapter.

    Raises:
        InvalidArgument: The adapter names no base model, or is not made of layers inside the model.
    """

    path: str
    """The folder, or the name on the hub."""
    revision: str | None
    """The revision of the adapter on the hub."""
    base: str
    """The folder of the model that it adapts, or the model's name on the hub."""
    base_revision: str | None
    """The revision of that model on the hub."""

    @classmethod
    def read(cls, file: Path, path: str, revision: str | None) -> "Adapter":
        """Read the configuration of an adapter.

        Args:
            file: The configuration, `adapter_config.json`.
            path: The folder of the adapter, or its name on the hub.
            revision: The revision of the adapter on the hub.

        Raises:
            FileFormatError: The file is not a JSON object.
            InvalidArgument: It names no base model.
        """
        try:
            fields = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise FileFormatError(f"cannot read {file}: {error}") from None
        if not isinstance(fields, dict):
            raise FileFormatError(f"{file} is not a JSON object")
        if not fields.get("base_model_name_or_path"):
            raise InvalidArgument(f"{path}: {CONFIG} names no base model (base_model_name_or_path)")
        return cls(path, revision, fields["base_model_name_or_path"], fields.get("revision"))

    def apply(self, model: nn.Module) -> nn.Module:
        """Return the model with the layers of the adapter in it, in the model's own precision. The model is changed.

        Raises:
            InvalidArgument: The files of the adapter lack weights, or it is not made of layers inside the model.
            MissingDependency: peft is not installed.
        """
        if find_spec("peft") is None:
            raise MissingDependency(f"{self.path} is a peft adapter: pip install peft")
        from peft import PeftModel

        with warnings.catch_warnings(record=True) as heard:
            warnings.simplefilter("always")
            wrapper = PeftModel.from_pretrained(
                model, self.path, revision=self.revision, autocast_adapter_dtype=False
            ).eval()
        missing = [str(each.message) for each in heard if "missing adapter keys" in str(each.message)]
        if missing:
            raise InvalidArgument(f"{self.path} lacks weights: {' '.join(missing[0].split())[:200]}")
        return tuned_model(wrapper)


def is_peft_model(module: Any) -> bool:
    """Return whether a module is a wrapper of peft, `PeftModel` or one of its subclasses."""
    return any(kind.__name__ in ("PeftModel", "PeftMixedModel") for kind in type(module).__mro__)


def tuned_model(wrapper: Any) -> nn.Module:
    """Return the model inside a wrapper of peft, with the layers of its adapters in it.

    Raises:
        InvalidArgument: The wrapper computes more than the model inside it. Tuned prompts, for example, are states
            before the first token.
    """
    configs = [wrapper.peft_config[name] for name in _active(wrapper)]
    for config in configs:
        kind = str(getattr(config.peft_type, "value", config.peft_type)).lower().replace("_", " ")
        if config.is_prompt_learning or getattr(config, "alora_invocation_tokens", None):
            what = "a tuned prompt" if config.is_prompt_learning else "layers that read its token ids (aLoRA)"
            raise InvalidArgument(
                f"{type(wrapper).__name__} has {what} ({kind}) beside its model, which no swap can run through; "
                "adapters inside the layers, such as LoRA, are supported"
            )
    model: nn.Module = wrapper.base_model.model
    _require_same(wrapper, model)
    return model


def adapter_suffix(model: Any) -> str:
    """Return the adapters of a model, as they follow its name: `"+lora"`, or nothing."""
    configs = getattr(model, "peft_config", None) or {}
    kinds = (
        str(getattr(config.peft_type, "value", config.peft_type)).lower() if name == "default" else str(name)
        for name, config in configs.items()
    )
    return "".join(f"+{kind}" for kind in kinds)


def _active(wrapper: Any) -> list[str]:
    active = wrapper.active_adapters if hasattr(wrapper, "active_adapters") else wrapper.active_adapter
    return [active] if isinstance(active, str) else list(active() if callable(active) else active)


@torch.no_grad()
def _require_same(wrapper: Any, model: Any) -> None:
    """Check that the wrapper computes what the model inside it does, where both can be run."""
    config = getattr(model, "config", None)
    size = getattr(config, "vocab_size", None)
    weights = list(wrapper.parameters())
    unready = wrapper.training or getattr(config, "is_encoder_decoder", False) or any(each.is_meta for each in weights)
    if unready or size is None:
        return  # such models are refused for what they are
    tokens = torch.arange(14, device=weights[0].device).view(2, 7) % size
    difference = float((wrapper(input_ids=tokens).logits - model(input_ids=tokens).logits).abs().max())
    if difference:
        raise InvalidArgument(
            f"{type(wrapper).__name__} computes more than the model inside it: their logits differ by "
            f"{difference:.2g}; merge its adapter (merge_and_unload) if it can be merged"
        )
