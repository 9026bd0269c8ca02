"""Shortcuts are taken only where they give the numbers of the whole module, and otherwise left."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import causalign as ca
from causalign.sites.base import Continuation, Places, Site

VOCABULARY, CLASSES = 30, 3


class Layer(nn.Module):
    """A layer that leaves something of its input behind."""

    def __init__(self, left: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.linear, self._left = nn.Linear(6, 6), left

    def forward(self, x: Tensor) -> Tensor:
        self.left = self._left(x)
        hidden: Tensor = torch.tanh(self.linear(x))
        return hidden


class Layered(nn.Module):
    """A list of layers, and an output that depends on what the first of them has left behind."""

    def __init__(self, left: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.first, self.head = nn.Linear(4, 6), nn.Linear(6, CLASSES)
        self.layers = nn.ModuleList([Layer(left) for _ in range(3)])

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        for layer in self.layers:
            x = layer(x)
        below: Any = self.layers[0]
        logits: Tensor = self.head(x) * (1 + below.left)
        return logits


@pytest.mark.parametrize("left", [lambda x: x[:, :1], lambda x: x.mean().sigmoid()], ids=["of rows", "of the batch"])
def test_a_layer_that_leaves_something_for_a_later_one_is_not_skipped(left: Callable[[Tensor], Tensor]) -> None:
    torch.manual_seed(0)
    module = Layered(left).eval()
    site = ca.Site(module, "layers.1", inputs=torch.randn(3, 4))
    x, swapped = torch.randn(3, 4), torch.randn(3, 6)
    labels = Continuation.pack(torch.zeros(3, 1, dtype=torch.long), torch.ones(3, dtype=torch.long))
    places = Places(torch.arange(3), torch.zeros(3, dtype=torch.long))
    found = site.resume(site.prefix({"input": x}), places, swapped, labels)
    hook = module.layers[1].register_forward_hook(lambda *_: swapped)
    expected = module(x)
    hook.remove()
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("layer", [0, 1])
def test_a_decoder_of_labels_of_several_tokens_is_run_whole(layer: int) -> None:
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    sizes = {"d_model": 16, "encoder_layers": 2, "decoder_layers": 2, "encoder_ffn_dim": 24, "decoder_ffn_dim": 24}
    heads = {"encoder_attention_heads": 2, "decoder_attention_heads": 2, "max_position_embeddings": 32}
    config = transformers.BartConfig(vocab_size=VOCABULARY, **sizes, **heads)
    model, rng = transformers.BartForConditionalGeneration(config).eval(), np.random.default_rng(0)
    source, target = (torch.from_numpy(rng.integers(3, VOCABULARY, (4, 5))) for _ in range(2))
    labels = torch.from_numpy(rng.integers(3, VOCABULARY, (4, 3)))
    at = model.model.decoder.layers[layer]
    site: Any = ca.Site(model, f"model.decoder.layers.{layer}")
    begun = torch.full((4, 1), config.decoder_start_token_id)
    mask = torch.ones_like(target)
    inputs = [{"input_ids": ids, "attention_mask": mask, "decoder_input_ids": begun} for ids in (source, target)]
    state = site.read(inputs[0])[:, 0]
    places = Places(torch.arange(4), torch.zeros(4, dtype=torch.long))
    tables = dict(inputs[1]) | ({"states": site.read(inputs[1])} if site.keeps_states else {})
    found = site.resume(site.prefix(tables), places, state, Continuation.pack(labels, torch.full((4,), 3)))

    def swap(_: nn.Module, __: Any, output: Tensor) -> Tensor:
        return torch.cat([state[:, None], output[:, 1:]], dim=1)

    hook = at.register_forward_hook(swap)
    decoded = torch.cat([begun, labels[:, :-1]], dim=1)
    expected = model(input_ids=target, attention_mask=mask, decoder_input_ids=decoded).logits
    hook.remove()
    torch.testing.assert_close(found.view(3, 4, -1).transpose(0, 1), expected, atol=1e-5, rtol=1e-5)


class Recurrent(nn.Module):
    """A recurrence between an embedding and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.head = nn.Embedding(VOCABULARY, 8), nn.Linear(12, VOCABULARY)
        self.rnn = nn.GRU(8, 12, batch_first=True)

    def forward(self, ids: Tensor) -> Tensor:
        logits: Tensor = self.head(self.rnn(self.embedding(ids))[0])
        return logits


@pytest.mark.parametrize("step", [1, 3], ids=["above the ids of the task", "between the ids of the task"])
def test_ids_outside_a_task_are_read_by_a_recurrence_too(step: int) -> None:
    torch.manual_seed(0)
    module = Recurrent().eval()
    names = ca.tasks.by_name("multi-object").vocabulary.ids
    with_task = ca.Site(module, "rnn", task="multi-object", tokens={name: step * n for n, name in enumerate(names)})
    tokens = torch.from_numpy(np.random.default_rng(0).integers(VOCABULARY, size=(20, 6)))

    def resumed(site: Site) -> Tensor:
        places = Places(torch.arange(20), torch.full((20,), 2))
        rest = Continuation.pack(tokens[:, 3:], torch.full((20,), 3))
        return site.resume(site.prefix(tokens), places, site.read(tokens)[:, 2], rest)

    plain = module(tokens)[:, 2:-1].transpose(0, 1).flatten(0, 1)
    torch.testing.assert_close(resumed(with_task), plain, atol=1e-5, rtol=1e-5)


class Masking(nn.Module):
    """A module that changes in place what its last layer returns."""

    def __init__(self, ids: bool) -> None:
        super().__init__()
        self.first: nn.Module = nn.Embedding(VOCABULARY, 8) if ids else nn.Linear(4, 8)
        self.middle, self.head = nn.Linear(8, 8), nn.Linear(8, CLASSES if not ids else VOCABULARY)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(torch.tanh(self.middle(self.first(x))))
        logits[..., 0] = -1e4
        return logits


@pytest.mark.parametrize("ids", [False, True], ids=["of tensors", "of ids"])
def test_logits_that_are_changed_in_place_are_not_those_of_the_last_layer(ids: bool) -> None:
    torch.manual_seed(0)
    module, x = Masking(ids).eval(), torch.randn(3, 6, 4)
    site = ca.Site(module, "middle") if ids else ca.Site(module, "middle", inputs=x)
    places = Places(torch.arange(3), torch.zeros(3, dtype=torch.long))
    if ids:
        tokens = torch.arange(9).view(3, 3)
        prefix, rest = site.prefix(tokens), Continuation.pack(tokens[:, 1:], torch.full((3,), 2))
        expected = module(tokens)[:, 0]
        own = site.read(tokens)[:, 0]
    else:
        prefix = site.prefix({"input": x, "label positions": torch.zeros(3, 1, dtype=torch.long)})
        rest = Continuation.pack(torch.zeros(3, 1, dtype=torch.long), torch.ones(3, dtype=torch.long))
        expected = module(x)[:, 0]
        own = site.read({"input": x})[:, 0]
    torch.testing.assert_close(site.resume(prefix, places, own, rest)[:3], expected)
