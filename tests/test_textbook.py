"""The textbook search shares no code with the engine: where the two agree, both are what the equations say."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch

import causalign as ca
from causalign.benchmarks.textbook import Swaps, Textbook
from causalign.counterfactuals.direction import Direction
from causalign.counterfactuals.interventions import interchange
from causalign.counterfactuals.rows import CounterfactualRows
from causalign.maps.base import AlignmentMap, complete
from causalign.scoring.iia import row_outcomes
from causalign.search.objectives import behavior_loss
from causalign.tasks.base import Sequences
from causalign.tasks.counting import MultiObject
from causalign.tasks.variable import Variable
from drawing import draw_rows, read_activations

Pair = tuple[ca.networks.GRU, ca.networks.GRU]
DIRECTIONS = [Direction(s, t) for s in range(2) for t in range(2)]


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Steps of a few trials are too small to share out."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def drawn(networks: Pair, count: int) -> dict[Direction, CounterfactualRows]:
    sites = [network.site("hidden") for network in networks]
    return draw_rows(sites, [Variable("full")] * 2, DIRECTIONS, read_activations(sites, count, 0, "x"), count, 0, "x")


def as_swaps(given: CounterfactualRows) -> Swaps:
    """The same interventions as whole sequences."""
    trial, position = np.divmod(given.source.keys[given.columns["source_rows"].numpy()], given.source.time)
    of, into = given.source.trials, given.target.trials
    assert isinstance(of, Sequences)
    assert isinstance(into, Sequences)
    sources, targets = of.tokens[trial], into.tokens[given.places.trial.numpy()]
    tokens = np.zeros((len(given), targets.shape[1] + given.tokens.shape[1]), dtype=np.int64)
    determined = np.zeros(tokens.shape, dtype=bool)
    for i, (at, length) in enumerate(zip(given.places.position.tolist(), given.lengths.tolist(), strict=True)):
        tokens[i, : at + 1] = targets[i, : at + 1]
        tokens[i, at + 1 : at + 1 + length] = given.tokens[i, :length]
        determined[i, at + 1 : at + 1 + length] = given.determined[i, :length]
    arrays = (sources, position, tokens, given.places.position.numpy(), determined)
    return Swaps(*(torch.from_numpy(array) for array in arrays))


def give(textbook: Textbook, maps: list[AlignmentMap]) -> None:
    for own, given in zip(textbook.maps, maps, strict=True):
        own.rotation.weight = complete(given.frame)
        torch.nn.init.constant_(own.log_scale, np.log(float(given.scale)))


@pytest.fixture(scope="module")
def found(zoo_pair: Pair) -> ca.Alignment:
    """Maps that are good but not perfect, so that scores could differ."""
    settings = ca.SearchConfig(max_steps=1, eval_every=1, batch_size=64)
    sites = [network.site("hidden") for network in zoo_pair]
    return ca.align(sites, rank=8, n_train=500, n_validation=50, n_test=1000, search=settings, seed=0)


def test_the_loss_is_the_engines(tiny_pair: Pair) -> None:
    textbook = Textbook(tiny_pair, rank=3, train=40, validation=1, learning_rate=0.1)
    for _ in range(3):
        textbook.step()
    maps = [  # V of equation 13, the first columns of the transpose of Q, and a
        AlignmentMap(each.rotation.weight[:3].detach().T.clone(), float(each.log_scale.detach().exp()))
        for each in textbook.maps
    ]
    assert all(m.scale != 1 for m in maps)
    engines = 0.0
    interventions = drawn(tiny_pair, 50)
    for direction, given in interventions.items():
        source, target = direction
        batch = given.take(torch.arange(len(given)))
        swapped = interchange(batch.target_states, batch.source_states, maps[target], maps[source])
        engines += float(behavior_loss(tiny_pair[target].site("hidden"), [batch], [swapped])) / len(DIRECTIONS)
    ours = textbook.loss([as_swaps(given) for given in interventions.values()])
    assert float(ours.detach()) == pytest.approx(engines, rel=1e-5)


def test_the_same_trials_are_right_as_the_engine_finds(zoo_pair: Pair, found: ca.Alignment) -> None:
    textbook = Textbook(zoo_pair, rank=8, train=1, validation=1)
    give(textbook, list(found.maps))
    interventions = drawn(zoo_pair, 200)
    textbook.swaps["test"] = [as_swaps(given) for given in interventions.values()]
    sites = [network.site("hidden") for network in zoo_pair]
    correct = row_outcomes(sites, found.maps, interchange, interventions)
    engines = min(float(trials.float().mean()) for trials in correct.values())
    assert 0.1 < engines < 1
    assert textbook.worst_iia("test") == pytest.approx(engines, abs=1e-6)


def test_its_own_interventions_are_like_the_engines(zoo_pair: Pair, found: ca.Alignment) -> None:
    textbook = Textbook(zoo_pair, rank=8, train=1, validation=500)
    give(textbook, list(found.maps))
    assert textbook.worst_iia() == pytest.approx(found.worst_iia, abs=0.08)  # 3 standard errors of the difference


def test_a_swap_is_of_the_tasks_own_making() -> None:
    task = MultiObject()
    swaps = Swaps.draw(task, 50, np.random.default_rng(0))
    for source, s, tokens, t in zip(swaps.sources, swaps.source_positions, swaps.tokens, swaps.positions, strict=True):
        assert task.swappable(np.array([[source[s], tokens[t]]])).all()
        seen, rest = (task.vocabulary.decode(part.numpy()).split() for part in (source[: s + 1], tokens[t + 1 :]))
        shown, said = len([token for token in seen if token.startswith("D")]), seen.count("R")
        if "T" not in seen:
            shown += len([token for token in rest if token.startswith("D")])
            assert "T" in rest
        assert rest[-1] == "E"
        assert rest.count("R") == shown - said
    half = swaps[torch.arange(25)]
    assert torch.equal(half.tokens, swaps.tokens[:25, : half.tokens.shape[1]])
    assert swaps.tokens[:25].sum() == half.tokens.sum()


def test_steps_lower_the_loss_and_repeat(zoo_pair: Pair) -> None:
    textbook, again = (Textbook(zoo_pair, 16, train=200, validation=1, batch=16, learning_rate=5e-3) for _ in range(2))
    losses = [textbook.step() for _ in range(9)]
    assert losses[:3] == [again.step() for _ in range(3)]
    assert np.mean(losses[-3:]) < 0.8 * np.mean(losses[:3])


def test_networks_that_it_cannot_compare_are_refused(zoo_pair: Pair) -> None:
    for others in ([ca.zoo.load("same-object/gru")], [ca.zoo.load("multi-object/lstm")]):
        with pytest.raises(ca.CausalignError, match="GRUs of one task"):
            Textbook([*zoo_pair, *others], rank=4)
    with pytest.raises(ca.CausalignError, match="found 129"):
        Textbook(zoo_pair, rank=129)
