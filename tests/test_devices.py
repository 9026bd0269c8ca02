"""Modules whose weights are on two devices: the same numbers as on one, and no operation that mixes devices."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import causalign as ca
from causalign.networks.devices import device_of
from causalign.sites.base import Continuation, Places, Site
from mock_device import SECOND, Elsewhere, SecondDevice, move
from test_counterfactuals import seeded


class Layer(nn.Module):
    """A layer that mixes each position with the mean of those before it."""

    def __init__(self) -> None:
        super().__init__()
        self.mix, self.out = nn.Linear(16, 16), nn.Linear(16, 16)

    def forward(self, x: Tensor) -> Tensor:
        count = torch.arange(1, x.shape[1] + 1, device=x.device)[:, None]
        added: Tensor = self.out(torch.tanh(self.mix(x.cumsum(1) / count)))
        return x + added


class Spread(nn.Module):
    """A language model that moves its states to the device of each part, as models with a device map do."""

    def __init__(self, recurrent: bool = False) -> None:
        super().__init__()
        self.embedding = nn.Embedding(30, 16)
        self.layers = nn.ModuleList([Layer() for _ in range(3)])
        self.rnn = nn.GRU(16, 16, batch_first=True) if recurrent else None
        self.head = nn.Linear(16, 30)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.embedding(ids)
        for layer in self.layers:
            x = layer(x.to(device_of(layer, x)))
        if self.rnn is not None:
            x = self.rnn(x.to(device_of(self.rnn, x)))[0]
        logits: Tensor = self.head(x.to(self.head.weight.device))
        return logits.to(ids.device)


class Classifier(nn.Module):
    """A module of vectors, in parts on two devices."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(5, 8), nn.Linear(8, 8)])
        self.head = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = torch.tanh(layer(x.to(device_of(layer, x))))
        logits: Tensor = self.head(x)
        return logits


def spread(module: Any) -> Any:
    """A copy with its upper half on the second device."""
    copy = deepcopy(module)
    for part in (*copy.layers[len(copy.layers) // 2 :], *([copy.rnn] if getattr(copy, "rnn", None) else []), copy.head):
        move(part)
    return copy


def swapped(site: Site, count: int = 6) -> tuple[Tensor, Tensor, Tensor]:
    """The states of random inputs, the logits of a random swap, and the gradient of their squares."""
    tokens = torch.from_numpy(np.random.default_rng(0).integers(0, 30, (count, 8)))
    states = site.read(tokens)
    places = Places(torch.arange(count), torch.arange(count) % 4)
    rest = torch.stack([row.roll(-1 - int(at)) for row, at in zip(tokens, places.position, strict=True)])
    lengths = 7 - places.position
    order = lengths.argsort(descending=True, stable=True)
    places = places.take(order)
    generator = torch.Generator().manual_seed(1)
    state = (states[order, places.position] + torch.randn(count, site.width, generator=generator)).requires_grad_()
    logits = site.resume(site.prefix(tokens), places, state, Continuation.pack(rest[order], lengths[order]))
    logits.square().sum().backward()
    assert state.grad is not None
    return states, logits.detach(), state.grad


PLACES: dict[str, Callable[[], Any]] = {
    "layers.0": Spread,
    "layers.1": Spread,
    "layers.2.mix:input": Spread,
    "layers.2.out[3:9]": Spread,
    "rnn": lambda: Spread(recurrent=True),
    "rnn[2:9]": lambda: Spread(recurrent=True),
}


@pytest.mark.parametrize("at", PLACES)
def test_a_swap_on_two_devices_is_the_swap_on_one(at: str) -> None:
    module = seeded(PLACES[at])
    wanted = swapped(ca.Site(deepcopy(module), at))
    with SecondDevice():
        site = ca.Site(spread(module), at)
        found = swapped(site)
    for here, there in zip(wanted, found, strict=True):
        assert not isinstance(there, Elsewhere)
        torch.testing.assert_close(there, here, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("at", ["layers.0", "layers.1", "layers.1:input", "head:input"])
def test_vectors_are_swapped_on_two_devices_as_on_one(at: str) -> None:
    module, rng = seeded(Classifier), np.random.default_rng(0)
    inputs: dict[str, Any] = {f"{end}_inputs": rng.standard_normal((40, 5)) for end in ("source", "target")}
    labels = rng.integers(0, 4, 40).tolist()

    def scores(of: nn.Module) -> list[float]:
        data = ca.Counterfactuals.from_arrays(ca.Site(of, at, inputs=torch.randn(3, 5)), **inputs, labels=labels)
        found = ca.align(data, method="das", rank=2, search=ca.SearchConfig(max_steps=2, eval_every=1), seed=0)
        return found.score_rows(data, "probability")["probability"].tolist()

    wanted = scores(deepcopy(module))
    with SecondDevice():
        found = scores(spread(module))
    assert found == pytest.approx(wanted, abs=1e-5)


def test_the_second_device_refuses_what_a_gpu_refuses() -> None:
    with SecondDevice():
        there = torch.ones(3).to(SECOND)
        assert (there.device, float((there + there).sum())) == (SECOND, 6.0)
        with pytest.raises(RuntimeError, match="expected all tensors on one device"):
            there + torch.ones(3)
