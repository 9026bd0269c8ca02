"""A recurrent language model that reads its input token by token, on its own cache."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from causalign.networks.module import ModuleNetwork
from causalign.networks.module_run import logits_of, run_module
from causalign.sites.transformers.model_cache import ModelCache, cache_of

_ROUNDING = 1e-3
"""The largest share of the largest feature that is rounding. Rows that are mixed up differ by more."""


class StepDecoder:
    """A model, its prompt, and the features from which its head makes the logits.

    Args:
        network: The model as a network.

    Raises:
        InvalidArgument: The model exposes no cache, or cannot be run on it.
    """

    def __init__(self, network: ModuleNetwork) -> None:
        self._network = network
        self.mixes_rows = self._mixes_rows()

    @torch.no_grad()
    def _mixes_rows(self) -> bool:
        """Whether a step of several rows is another one than a step of each row by itself, as in RWKV."""
        device = next(self._network.module.parameters()).device
        tokens = torch.arange(6, device=device).view(3, 2).remainder(self._network.inputs)
        together, alone = (self.step(each[:, 1], self.begin(each[:, :1])[1]) for each in (tokens, tokens[:1]))
        if together[:1].shape != alone.shape or len(together) != len(tokens):
            return True
        return bool((together[:1] - alone).abs().max() > _ROUNDING * max(1.0, float(alone.abs().max())))

    def begin(self, tokens: Int[Tensor, "rows time"]) -> tuple[Float[Tensor, "rows features"], ModelCache]:
        """Read the prompt and the first tokens. Return the features of the last one, and the cache."""
        features, output = self._run(self._network.prompted(tokens), {})
        return features, cache_of(output, self._network.name)

    def step(self, tokens: Int[Tensor, " rows"], cache: ModelCache) -> Float[Tensor, "rows features"]:
        """Read one more token of every row. Return its features, differentiable in what the cache held.

        Args:
            tokens: The token of each row.
            cache: The cache of the tokens before. It is changed in place.
        """
        with _kept(cache.renew()):
            features, _ = self._run(tokens[:, None], {cache.name: cache.own})
        return features

    def _run(
        self, tokens: Int[Tensor, "rows time"], options: dict[str, Any]
    ) -> tuple[Float[Tensor, "rows features"], Any]:
        """Run the model, and return the features of the last token and the output."""
        network, received = self._network, list[Tensor]()
        head = network.head
        hook = None if head is None else head.register_forward_pre_hook(_receiver(received), with_kwargs=True)
        try:
            what = f"token ids {list(tokens.shape)} and its own cache"
            output = run_module(network.module, (tokens,), {"use_cache": True, **options}, network.name, what)
        finally:
            if hook is not None:
                hook.remove()
        features = received[0] if received else logits_of(output, network.name)
        return features[:, -1].to(tokens.device), output


def _receiver(received: list[Tensor]) -> Callable[[Any, Any, Any], None]:
    return lambda _, args, kwargs: received.append(next(iter((*args, *kwargs.values()))))


@contextmanager
def _kept(changing: list[Tensor]) -> Iterator[None]:
    """Open a context in which autograd keeps copies of tensors that the model changes in place.

    Models write the next state over the one that they have just multiplied. Without a copy, no gradient could be
    computed.
    """
    storages = {each.untyped_storage().data_ptr() for each in changing}

    def pack(tensor: Tensor) -> Tensor:
        changes = tensor.untyped_storage().data_ptr() in storages
        return tensor.detach().clone() if changes else tensor

    with saved_tensors_hooks(pack, lambda tensor: tensor):
        yield
