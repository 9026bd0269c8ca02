"""Controls and departures: what a score has to be set beside."""

from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import energy_distance

import causalign as ca
from causalign.alignment.controls import control_scores
from causalign.alignment.request import Request
from causalign.callbacks import silent
from causalign.counterfactuals.direction import Direction
from causalign.random_streams import numpy_stream
from causalign.scoring.naturalness import energy, naturalness_of
from causalign.storage import Store
from causalign.tasks.variable import Variable
from causalign.timer import Timer
from drawing import draw_rows, read_activations

Pair = tuple[ca.networks.GRU, ca.networks.GRU]


@pytest.fixture(scope="module")
def controlled(zoo_pair: Pair) -> ca.Alignment:
    settings = ca.SearchConfig(max_steps=30, batch_size=128)
    sites = [network.site("hidden") for network in zoo_pair]
    return ca.align(sites, n_train=2000, n_validation=200, n_test=300, controls=True, search=settings)


def test_controls_do_not_reach_what_was_found(controlled: ca.Alignment) -> None:
    assert controlled.worst_iia > 0.95
    assert set(controlled.worst_controls) == {"untrained", "shuffled", "random"}
    assert max(controlled.worst_controls.values()) < 0.5
    table = controlled.controls
    assert (table["rows"] == 300).all()
    assert (table["steps"] <= controlled.record.steps).all()
    assert (table.loc[table["control"] == "random", "steps"] == 0).all()


def test_an_untrained_network_gives_nothing_but_the_other_still_takes_itself(controlled: ca.Alignment) -> None:
    untrained = controlled.controls[controlled.controls["control"] == "untrained"]
    first, second = (site.name for site in controlled.record.sites)
    scores = untrained.set_index(["source", "target"])["iia"]
    assert scores[second, second] > 0.9
    assert scores["untrained:multi-object/gru/0@hidden", second] == controlled.worst_controls["untrained"] < 0.5
    assert first not in set(untrained["source"])


def test_controls_take_all_the_steps_of_the_score_though_they_have_long_settled(tiny_pair: Pair) -> None:
    few: dict[str, Any] = {"n_train": 40, "n_validation": 20, "n_test": 30, "rank": 3}
    settings = ca.SearchConfig(eval_every=2, patience=1, batch_size=8, initial_batch_size=4, target_iia=0.01)
    config = ca.AlignmentConfig(search=settings, **few)
    request = Request.checked([network.site("hidden") for network in tiny_pair], config)
    scores = list(control_scores(request, 12, request.context(Timer(), silent)))
    assert {score.control: score.steps for score in scores} == {"untrained": 12, "shuffled": 12, "random": 0}


def test_controls_are_saved(controlled: ca.Alignment, tmp_path: object) -> None:
    again = ca.load_alignment(controlled.save(str(tmp_path)))
    assert again.controls.equals(controlled.controls)
    assert again.naturalness.equals(controlled.naturalness)
    assert again.worst_controls == controlled.worst_controls


def test_swapped_states_leave_the_natural_ones_more_than_others_do(controlled: ca.Alignment) -> None:
    found = controlled.naturalness
    assert len(found) == 4
    assert (found["outside"] > found["outside_natural"]).all()
    assert (found["outside_natural"] < 0.05).all()
    assert (found["energy_natural"] < 0.02).all()


@pytest.mark.parametrize("method", ["das", "clmas", "stitch", "mas-stepwise", "procrustes"])
def test_every_method_has_controls(tiny_pair: Pair, method: str) -> None:
    at = "embedding" if method == "mas-stepwise" else "hidden"
    sites = [network.site(at) for network in tiny_pair][: 1 if method == "das" else 2]
    settings = ca.SearchConfig(max_steps=2, eval_every=1, batch_size=8)
    found = ca.align(
        sites, method=method, rank=3, n_train=40, n_validation=20, n_test=30, search=settings, controls=True
    )
    assert set(found.worst_controls) == {"untrained", "shuffled", "random"}
    assert len(found.controls) == 3 * len(found.iia)


def test_shuffling_moves_continuations_as_they_are(tiny_pair: Pair) -> None:
    site = tiny_pair[0].site("hidden")
    into = Direction(0, 0)
    given = draw_rows([site], [Variable("full")], [into], read_activations([site], 50, 0, "x"), 50, 0, "x")[into]
    perturb = given.shuffled(numpy_stream(0, "test"), site, Store())
    assert torch.equal(perturb.columns["source_rows"], given.columns["source_rows"])
    assert not torch.equal(perturb.tokens, given.tokens)

    def whole(of: ca.CounterfactualRows) -> list[tuple[object, ...]]:
        return sorted(
            (*of.tokens[i].tolist(), *of.determined[i].tolist(), int(of.lengths[i]), int(of.values["count"][i]))
            for i in range(len(of))
        )

    assert whole(perturb) == whole(given)


def test_a_users_module_is_drawn_anew_too() -> None:
    class Small(torch.nn.Module):
        def __init__(self, scaled: bool) -> None:
            super().__init__()
            self.embedding, self.rnn = torch.nn.Embedding(8, 6), torch.nn.GRU(6, 6, batch_first=True)
            self.head = torch.nn.Linear(6, 8)
            self.scale = torch.nn.Parameter(torch.ones(1)) if scaled else 1.0

        def forward(self, tokens: torch.Tensor) -> torch.Tensor:
            return self.head(self.rnn(self.embedding(tokens))[0]) * self.scale

    tokens = {"B": 1, "E": 2, "D0": 3, "D1": 4, "D2": 5, "R": 6, "T": 7}
    state = torch.random.get_rng_state()
    network = ca.Site(Small(False).eval(), "rnn", task="multi-object", tokens=tokens).network
    assert network.untrained(1).fingerprint == network.untrained(1).fingerprint != network.fingerprint
    scaled = ca.Site(Small(True).eval(), "rnn", task="multi-object", tokens=tokens).network
    with pytest.raises(ca.CausalignError, match="Small cannot be re-initialized: the layer of scale has no reset"):
        scaled.untrained(0)
    torch.random.set_rng_state(state)


def test_an_untrained_network_is_another_of_the_same_shape(tiny_pair: Pair) -> None:
    again = tiny_pair[0].untrained(5)
    assert {n: w.shape for n, w in again.named_parameters()} == {n: w.shape for n, w in tiny_pair[0].named_parameters()}
    assert again.fingerprint != tiny_pair[0].fingerprint
    assert again.fingerprint == tiny_pair[0].untrained(5).fingerprint


def test_energy_distance_is_scipys_in_one_dimension() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal(400), 1 + 2 * rng.standard_normal(300)
    ours = energy(torch.from_numpy(x)[:, None], torch.from_numpy(y)[:, None])
    biased = energy_distance(x, y) ** 2 / (2 * np.abs(x[:, None] - y).mean())
    assert ours == pytest.approx(biased, abs=0.01)  # scipy counts the pairs of a point with itself
    assert ours > 0.1


def test_departure_sees_what_lies_outside() -> None:
    rng = torch.Generator().manual_seed(0)
    plane = torch.zeros(2000, 5)
    plane[:, :2] = torch.randn(2000, 2, generator=rng)
    off = plane[:1000].clone()
    off[:, 4] = torch.randn(1000, generator=rng)
    found = naturalness_of(off, plane[:1000], plane[1000:])
    assert found.outside == pytest.approx(1 / 3, abs=0.05)
    assert found.outside_natural == pytest.approx(0, abs=1e-6)
    assert found.energy > 5 * found.energy_natural
