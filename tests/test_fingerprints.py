"""What identifies a dataset, and what its draws depend on: nothing else changes its rows, and nothing is left out."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import causalign as ca
from causalign.counterfactuals.direction import Direction
from causalign.counterfactuals.row_source import RowRequest
from causalign.run_context import RunContext
from causalign.sites.base import Site

VOCABULARY, ROWS = 30, 60
OWN = Direction(0, 0)


class Small(nn.Module):
    """A module of ids."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.hidden = nn.Embedding(VOCABULARY, 8), nn.Linear(8, 8)
        self.head = nn.Linear(8, VOCABULARY)

    def forward(self, ids: Tensor) -> Tensor:
        logits: Tensor = self.head(torch.tanh(self.hidden(self.embedding(ids))))
        return logits


@pytest.fixture(scope="module")
def site() -> Site:
    torch.manual_seed(0)
    found: Site = ca.Site(Small().eval(), "hidden")
    return found


def arrays(site: Site, **options: Any) -> ca.Counterfactuals:
    rng = np.random.default_rng(0)
    source, target = rng.integers(0, VOCABULARY, (2, ROWS, 4))
    labels = rng.integers(0, 3, ROWS).tolist()
    return ca.Counterfactuals.from_arrays(site, source_inputs=source, target_inputs=target, labels=labels, **options)


def drawn() -> ca.Counterfactuals:
    sites = [ca.zoo.load("multi-object/gru", seed=0).site("hidden")]
    return ca.Counterfactuals.from_task(sites, n_train=64, n_validation=16, n_test=16)


def column(data: ca.Counterfactuals, name: str, seed: int = 0) -> Tensor:
    latents = frozenset([OWN]) if name == "latent_rows" else frozenset[Direction]()
    rows = data.rows(RowRequest("train", (OWN,), False, latents), RunContext(seed, data.store))
    return rows[OWN].columns[name]


def test_whatever_changes_a_result_changes_the_fingerprint(site: Site) -> None:
    others: list[dict[str, Any]] = [{"loss": "all"}, {"no_swap_labels": [1] * ROWS}, {"no_swap_labels": [2] * ROWS}]
    found = [arrays(site).fingerprint, *(arrays(site, **options).fingerprint for options in others)]
    found += [arrays(site).shuffled(1).fingerprint, arrays(site).shuffled(2).fingerprint]
    found += [each.fingerprint for each in (drawn(), drawn().shuffled(1), drawn().shuffled(2))]
    assert len(set(found)) == len(found)
    assert arrays(site).fingerprint == found[0]
    assert drawn().shuffled(1).fingerprint == found[-2]


def test_latents_are_drawn_by_the_seed_of_the_data_whoever_asks_first(site: Site) -> None:
    data = arrays(site, seed=3)
    first, again = column(data, "latent_rows", seed=0), column(arrays(site, seed=3), "latent_rows", seed=1)
    assert torch.equal(first, again)
    split = ["train"] * 40 + ["validation"] * 10 + ["test"] * 10
    one, other = (column(arrays(site, seed=seed, split=split), "latent_rows") for seed in (0, 1))
    assert not torch.equal(one, other)


def test_a_shuffle_has_its_own_seed() -> None:
    data = drawn()
    one, other = (column(data.shuffled(seed), "tokens") for seed in (1, 2))
    assert not torch.equal(one, other)
    assert torch.equal(one, column(data.shuffled(1), "tokens", seed=5))


def test_shuffled_data_stays_shuffled_for_other_sites_and_another_budget() -> None:
    data = drawn()
    plain, shuffled = column(data, "tokens"), column(data.shuffled(1), "tokens")
    assert not torch.equal(plain, shuffled)
    assert torch.equal(column(data.shuffled(1).with_sites(data.sites), "tokens"), shuffled)
    assert torch.equal(column(data.shuffled(1).with_memory(1.0), "tokens"), shuffled)
    few = {"train": 40, "validation": 8, "test": 8}
    sample = data.with_counts(few)
    assert not torch.equal(column(data.shuffled(1).with_counts(few), "tokens"), column(sample, "tokens"))
    assert not torch.equal(column(data.shuffled(1).shuffled(2), "tokens"), shuffled)
