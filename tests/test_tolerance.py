"""What is said of a module when a site is made: its tolerance goes with it, and nothing is ignored."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import causalign as ca


class Mixing(nn.Module):
    """A module in which the rows of a batch touch each other a little."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self.hidden, self.head, self.share = nn.Linear(4, 8), nn.Linear(8, 3), share

    def forward(self, x: Tensor) -> Tensor:
        hidden = torch.tanh(self.hidden(x))
        logits: Tensor = self.head(hidden + self.share * hidden.mean(0, keepdim=True))
        return logits


def decoder() -> Any:
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    sizes = {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 32, "bos_token_id": 0, "eos_token_id": 0}
    return transformers.GPT2LMHeadModel(transformers.GPT2Config(vocab_size=40, **sizes)).eval()


def test_a_module_of_tensors_is_checked_with_the_tolerance_that_is_asked_for() -> None:
    torch.manual_seed(0)
    module, inputs = Mixing(1e-2).eval(), torch.randn(5, 4)
    with pytest.raises(ca.InvalidArgument, match="with the other rows beside it"):
        ca.Site(module, "head", inputs=inputs)
    assert ca.Site(module, "head", inputs=inputs, tolerance=0.1).tolerance == 0.1


@pytest.mark.parametrize("at", ["layer.1", "layer.1.mlp", "hidden"])
def test_copies_of_a_site_have_its_tolerance(at: str) -> None:
    if at == "hidden":
        site = ca.Site(Mixing(0.0).eval(), at, inputs=torch.randn(5, 4), tolerance=0.25)
    else:
        site = ca.Site(decoder(), at, tolerance=0.25)
    copies = [site.cast(torch.float64), site.network.untrained(0).site(at), site.network.site(at)]
    assert [each.tolerance for each in (site, *copies)] == [0.25] * 4


@pytest.mark.parametrize(
    "option",
    [{"tolerance": 0.1}, {"tokenizer": "any"}, {"name": "mine"}, {"inputs": torch.ones(2, 2)}, {"whole": True}],
    ids=lambda option: next(iter(option)),
)
def test_options_of_modules_are_refused_for_a_network(option: dict[str, Any]) -> None:
    network = ca.zoo.load("multi-object/gru", seed=0)
    with pytest.raises(ca.InvalidArgument, match=f"leave {next(iter(option))} out"):
        ca.Site(network, "hidden", **option)


class Centering(nn.Module):
    """A module that works on its input in place."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden, self.head = nn.Linear(4, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x -= 1.0
        logits: Tensor = self.head(torch.tanh(self.hidden(x)))
        return logits


def test_the_users_inputs_stay_as_they_are() -> None:
    torch.manual_seed(0)
    module, example, rows = Centering().eval(), torch.randn(5, 4), np.random.default_rng(0).normal(size=(40, 4))
    before, given = example.clone(), torch.from_numpy(rows).float()
    site = ca.Site(module, "hidden", inputs=example)
    data = ca.Counterfactuals.from_arrays(
        site, source_inputs=given, target_inputs=given, labels=[0, 1] * 20, no_swap_labels=[0, 1] * 20
    )
    data.check()
    ca.align(data, method="das", rank=2, start="random", search=ca.SearchConfig(max_steps=2))
    assert torch.equal(example, before)
    assert torch.equal(given, torch.from_numpy(rows).float())
    with torch.no_grad():
        own = module.hidden(given[:3] - 1.0)
    torch.testing.assert_close(site.read({"input": given[:3]})[:, 0], own)
