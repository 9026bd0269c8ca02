"""The configuration of a language model, from which its size is computed without reading its weights."""

from typing import Any

import torch

from causalign.networks.huggingface import HuggingFace, is_supported_type
from causalign.networks.pretrained_source import Source, on_devices
from causalign.random_streams import torch_stream
from causalign.tasks.in_context import InContext


class ModelConfiguration:
    """The configuration and the tokenizer of a language model in a folder, or of that name on the Hugging Face hub.

    Args:
        path: The folder, which need not hold weights, or the name on the hub.
        task: The task whose trials the model reads. All counts are kept, because those that the model fails are not
            known without its weights.
        dtype: As for `from_pretrained`.
        trust_remote_code: As for `from_pretrained`.
        revision: As for `from_pretrained`.

    Attributes:
        depth: The number of layers.
        is_supported: Whether the family is one that `HuggingFace` supports.

    Raises:
        InvalidArgument: There is no such model, or its tokenizer does not have one token for each of the task's tokens.
        MissingDependency: transformers is not installed.
    """

    def __init__(
        self,
        path: str,
        task: InContext,
        dtype: str | None = None,
        trust_remote_code: bool = False,
        *,
        revision: str | None = None,
    ) -> None:
        self.name, self._task = f"hf:{path}", task
        self._source = Source(path, self.name, dtype, trust_remote_code, revision)
        with self._source.opened():
            config = self._source.config()
            self.depth: int = config.num_hidden_layers
            self.is_supported = is_supported_type(config.model_type)
            self._spelling = self._source.spelling(task)

    def nbytes(self, layers: int) -> int:
        """Return the bytes of the weights of the model with this number of layers."""
        return self._source.nbytes(self._source.config(layers))

    def drawn(self, layers: int) -> HuggingFace:
        """Return a model of this configuration with another number of layers and random weights.

        Raises:
            InvalidArgument: The model does not fit into memory, or its type is not supported.
        """
        from transformers import AutoModelForCausalLM

        config = self._source.config(layers)
        self._source.require_memory(config)
        with self._source.opened(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(torch_stream(0, "initialise").initial_seed())
            model: Any = AutoModelForCausalLM.from_config(
                config, dtype=self._source.precision(config), trust_remote_code=self._source.trust_remote_code
            )
        model = model.to("cuda") if on_devices() else model
        return HuggingFace(model, self._task, self._spelling.ids, self.name, self._spelling.prompt)
