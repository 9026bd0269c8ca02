import json
import re
import shutil
import subprocess
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import causalign as ca
from causalign.networks import training, zoo
from causalign.networks.accuracy import accuracy
from causalign.networks.checkpoint import load_network
from causalign.networks.training import Recipe, train
from causalign.networks.zoo import Entry
from causalign.tasks.base import Sequences
from causalign.tasks.counting import MultiObject
from causalign.tasks.vocabulary import Vocabulary
from naive_networks import naive_transformer

QUICK = Recipe(batch=16, eval_every=5, max_steps=15, validation_trials=20)


@pytest.mark.parametrize("entry", ca.zoo.entries(), ids=lambda entry: f"{entry.name}/{entry.seed}")
def test_the_zoo_makes_no_mistake(entry: Entry) -> None:
    if entry.card.architecture == "llama":
        pytest.importorskip("transformers")
    network = ca.zoo.load(entry.name, entry.seed)
    trials = network.task.trials(500, np.random.default_rng(12345))
    ids = network.task.vocabulary.within(network.ids, whose=network.name)
    assert accuracy(network, replace(trials, tokens=ids[trials.tokens])) == 1
    assert entry.card.accuracy == 1
    assert (entry.card.task, entry.card.architecture, entry.card.seed) == (*entry.name.split("/"), entry.seed)


def test_networks_of_the_other_package_are_named_where_it_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zoo, "_of_others", lambda: iter(()))
    zoo._roots.cache_clear()
    try:
        own = {(entry.name, entry.seed) for entry in zoo.entries()}
        assert {("multi-object/gru", 0), ("multi-object/gru", 1)} <= own  # what the quickstart needs is there
        assert {("multi-object/transformer", 0), ("multi-object/transformer", 3)} <= own
        for name, seed, found in (
            ("rounding/gru", 0, "unknown zoo network"),
            ("multi-object/transformer", 1, "found 1"),
        ):
            with pytest.raises(ca.InvalidArgument, match=rf"{found}.*pip install 'causalign\[zoo\]'"):
                zoo.load(name, seed)
    finally:
        zoo._roots.cache_clear()


def test_the_zoo_is_what_its_makefile_trains() -> None:
    shipped = {"multi-object/gru": 4, "multi-object/lstm": 2, "multi-object/transformer": 4}
    shipped |= {f"{task}/gru": 2 for task in ("same-object", "modulo", "rounding")}
    shipped |= {"arithmetic/gru": 4, "in-context/llama": 1}
    assert Counter(entry.name for entry in ca.zoo.entries()) == shipped
    assert len({ca.zoo.load(entry.name, entry.seed).fingerprint for entry in ca.zoo.entries()}) == 21
    if shutil.which("make"):
        root = Path(__file__).parent.parent
        plan = subprocess.run(["make", "-n", "zoo"], cwd=root, capture_output=True, text=True, check=True).stdout
        asked = re.findall(r"causalign train (\S+) (\S+) --seed (\d)", plan)
        assert {(f"{task}/{arch}", int(seed)) for task, arch, seed in asked} == {
            (entry.name, entry.seed) for entry in ca.zoo.entries()
        }


def test_accuracy_counts_trials_with_every_determined_token_right(
    zoo_pair: tuple[ca.networks.GRU, ca.networks.GRU],
) -> None:
    untrained = ca.networks.build("multi-object", "gru", seed=0)
    trials = MultiObject().trials(200, np.random.default_rng(0))
    assert accuracy(untrained, trials) == 0
    by_hand = []
    for row in range(200):
        tokens = torch.from_numpy(trials.tokens[row : row + 1, : trials.lengths[row]])
        predicted = zoo_pair[0](tokens)[0].argmax(-1)
        by_hand.append(
            all(predicted[k - 1] == tokens[0, k] for k in range(1, tokens.shape[1]) if trials.determined[row, k])
        )
    assert accuracy(zoo_pair[0], trials) == np.mean(by_hand)


def test_a_stopped_training_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    whole, card = train("multi-object", "gru", 3, tmp_path / "whole", width=8, recipe=QUICK)
    assert card.steps == 15

    def stop(update: object) -> None:
        if update.step == 8:  # type: ignore[attr-defined]
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train("multi-object", "gru", 3, tmp_path / "parts", width=8, recipe=QUICK, callbacks=[stop])
    assert [file.name for file in (tmp_path / "parts").iterdir()] == [training.UNFINISHED]
    steps = []
    parts, _ = train(
        "multi-object", "gru", 3, tmp_path / "parts", width=8, recipe=QUICK, callbacks=[lambda u: steps.append(u.step)]
    )
    assert steps[0] == 6  # from the last check on
    assert parts.fingerprint == whole.fingerprint


def test_a_finished_training_is_not_done_again_nor_taken_for_another(tmp_path: Path) -> None:
    first, _ = train("multi-object", "gru", 3, tmp_path, width=8, recipe=QUICK)
    (tmp_path / training.UNFINISHED).unlink()  # as if it had ended perfect
    again, _ = train(
        "multi-object",
        "gru",
        3,
        tmp_path,
        width=8,
        recipe=QUICK,
        callbacks=[lambda update: pytest.fail("it was trained again")],
    )
    assert again.fingerprint == first.fingerprint
    with pytest.raises(ca.CausalignError, match=r"holds another network .*seed 3.*, not the requested one .*seed 4"):
        train("multi-object", "gru", 4, tmp_path, width=8, recipe=QUICK)


def test_training_learns(tmp_path: Path) -> None:
    losses: list[float] = []
    recipe = Recipe(batch=32, warm_up=10, eval_every=60, max_steps=60, validation_trials=10)
    train(
        "multi-object",
        "gru",
        0,
        tmp_path,
        width=32,
        recipe=recipe,
        callbacks=[lambda u: losses.append(u.figures["loss"])],
    )
    assert losses[-1] < 0.7 * losses[0]


def test_trials_that_are_drawn_once_are_each_read_in_every_epoch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[bytes] = []

    def learn(_: object, trials: Sequences) -> float:
        seen.extend(row.tobytes() for row in trials.padded(64).tokens)
        return 1.0

    monkeypatch.setattr(training._Run, "_learn", learn)
    task = ca.tasks.Rounding().only([5, 6])
    recipe = Recipe(batch=8, trials=20, eval_every=6, max_steps=6, validation_trials=4)  # two epochs of three steps
    train(task, "gru", 0, tmp_path, width=4, recipe=recipe)
    first, second = seen[:20], seen[20:]
    assert len(second) == 20
    assert Counter(first) == Counter(second)
    assert first != second


def test_training_stops_after_perfect_checks_in_a_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = iter([1.0] * 6 + [0.5] + [1.0] * 100)  # a check is the held-out trials and the last five batches
    monkeypatch.setattr(training, "accuracy", lambda network, trials: next(found))
    recipe = Recipe(batch=4, eval_every=5, checks=2, validation_trials=4)
    _, card = train("multi-object", "gru", 0, tmp_path, width=4, recipe=recipe)
    assert card.steps == 20  # perfect, not, perfect, perfect
    assert not (tmp_path / training.UNFINISHED).exists()


def test_the_rate_warms_up_then_falls_with_the_root_of_the_step() -> None:
    recipe = Recipe()
    assert recipe.rate(50) == pytest.approx(5e-4)
    assert recipe.rate(100) == pytest.approx(1e-3)
    assert recipe.rate(400) == pytest.approx(5e-4)


def test_no_global_generator_is_read_or_set(tmp_path: Path) -> None:
    state, numpy_state = torch.get_rng_state(), np.random.get_state(legacy=False)["state"]["key"].copy()  # noqa: NPY002
    one, _ = train("multi-object", "gru", 5, tmp_path / "one", width=4, recipe=QUICK)
    assert torch.equal(state, torch.get_rng_state())
    assert np.array_equal(numpy_state, np.random.get_state(legacy=False)["state"]["key"])  # noqa: NPY002
    ca.zoo.load("multi-object/gru")
    assert torch.equal(state, torch.get_rng_state())
    torch.manual_seed(99)
    two, _ = train("multi-object", "gru", 5, tmp_path / "two", width=4, recipe=QUICK)
    assert one.fingerprint == two.fingerprint


def test_untrained_weights_are_spread_as_pytorch_s_layers_spread_theirs() -> None:
    ours = ca.networks.build("multi-object", "gru", seed=0, width=64).state_dict()
    torch.manual_seed(0)
    theirs = ca.networks.GRU(MultiObject().vocabulary, MultiObject(), 64).state_dict()
    for name, weight in theirs.items():
        if weight.numel() > 400:
            assert ours[name].std() == pytest.approx(float(weight.std()), rel=0.15)


def test_a_saved_network_is_the_same_network(zoo_folder: Path, tmp_path: Path) -> None:
    network = load_network(zoo_folder)
    card = ca.networks.Card.model_validate_json((zoo_folder / "card.json").read_bytes())
    ca.networks.save_network(network, card, tmp_path)
    assert (tmp_path / "network.safetensors").read_bytes() == (zoo_folder / "network.safetensors").read_bytes()


@pytest.fixture
def broken(zoo_folder: Path, tmp_path: Path) -> Path:
    for name in ("network.safetensors", "card.json"):
        (tmp_path / name).write_bytes((zoo_folder / name).read_bytes())
    return tmp_path


def test_a_truncated_checkpoint_is_refused(broken: Path) -> None:
    weights = broken / "network.safetensors"
    weights.write_bytes(weights.read_bytes()[:5000])
    with pytest.raises(ca.CausalignError, match="network.safetensors: not a whole safetensors file"):
        load_network(broken)


def test_a_checkpoint_with_nan_is_refused(broken: Path) -> None:
    weights = load_file(broken / "network.safetensors")
    weights["cell.bias_hh_l0"][3] = float("nan")
    save_file(weights, broken / "network.safetensors")
    with pytest.raises(ca.CausalignError, match="'cell.bias_hh_l0' has NaN or infinite entries"):
        load_network(broken)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"width": 64}, "the weights do not fit the card: .*size mismatch"),
        ({"architecture": "gruu"}, "unknown architecture 'gruu'; did you mean 'gru'"),
        ({"task": "multi"}, "unknown task 'multi'"),
        ({"accuracy": 2}, "card.json: accuracy: "),
        ({"colour": "blue"}, "card.json: colour: "),
    ],
)
def test_a_card_that_cannot_be_is_refused(broken: Path, change: dict[str, object], message: str) -> None:
    card = json.loads((broken / "card.json").read_text())
    (broken / "card.json").write_text(json.dumps(card | change))
    with pytest.raises(ca.CausalignError, match=message):
        load_network(broken)


def test_networks_that_are_not_there_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ca.CausalignError, match="not a saved network"):
        load_network(tmp_path)
    with pytest.raises(ca.CausalignError, match="unknown zoo network 'multi-object/gr'; did you mean"):
        ca.zoo.load("multi-object/gr")
    with pytest.raises(ca.CausalignError, match="with the seeds 0, 1, 2, 3, found 9"):
        ca.zoo.load("multi-object/gru", seed=9)


def test_a_network_that_does_not_speak_the_task_s_tokens_is_refused() -> None:
    class Dialect(MultiObject):
        def __init__(self) -> None:
            super().__init__()
            self.vocabulary = Vocabulary.of("B E D0 D1 D2 R STOP")

    network = ca.networks.GRU.initialised(Dialect(), seed=0, width=4)
    with pytest.raises(ca.CausalignError, match="does not know the tokens T; it knows P, B, E"):
        network.site("hidden", task=MultiObject())


def test_a_training_that_ran_out_of_steps_goes_on_with_more(tmp_path: Path) -> None:
    _, card = train("multi-object", "gru", 3, tmp_path / "a", width=8, recipe=QUICK)
    longer = Recipe(batch=16, eval_every=5, max_steps=25, validation_trials=20)
    more, card = train("multi-object", "gru", 3, tmp_path / "a", width=8, recipe=longer)
    assert card.steps == 25
    whole, _ = train("multi-object", "gru", 3, tmp_path / "b", width=8, recipe=longer)
    assert more.fingerprint == whole.fingerprint
    with pytest.raises(ca.CausalignError, match="is of another training"):
        train("multi-object", "gru", 3, tmp_path / "a", width=8, recipe=Recipe(batch=8, eval_every=5, max_steps=30))


def test_a_loss_that_is_no_number_ends_the_training(tmp_path: Path) -> None:
    recipe = Recipe(batch=4, learning_rate=1e30, warm_up=1, eval_every=50, max_steps=50, validation_trials=4)
    with pytest.raises(ca.CausalignError, match="the loss is nan at step"):
        train("multi-object", "gru", 0, tmp_path, width=4, recipe=recipe)
    assert not (tmp_path / "card.json").exists()


def test_a_network_too_large_for_the_memory_is_refused() -> None:
    with pytest.raises(ca.CausalignError, match="a gru of width 100000000 does not fit into memory"):
        ca.networks.build("multi-object", "gru", seed=0, width=100_000_000)


def test_a_subclass_has_its_parent_s_sites() -> None:
    class Wider(ca.networks.GRU):
        pass

    assert Wider.initialised(MultiObject(), seed=0, width=4).site("hidden").width == 4


def test_a_network_of_a_task_of_one_s_own_is_loaded_with_it(tmp_path: Path) -> None:
    class Mine(MultiObject):
        name = "mine"

    trained, _ = train(Mine(), "gru", 0, tmp_path, width=4, recipe=QUICK)
    loaded = load_network(tmp_path, task=Mine())
    assert (loaded.fingerprint, loaded.task.name) == (trained.fingerprint, "mine")
    with pytest.raises(ca.CausalignError, match="unknown task 'mine'"):
        load_network(tmp_path)
    with pytest.raises(ca.CausalignError, match="is a network of the task 'mine', found 'multi-object'"):
        load_network(tmp_path, task=MultiObject())
    (tmp_path / training.UNFINISHED).unlink()
    again, _ = train(Mine(), "gru", 0, tmp_path, width=4, recipe=QUICK)
    assert again.fingerprint == trained.fingerprint


def test_the_transformer_is_what_a_naive_one_computes() -> None:
    network = ca.networks.build("multi-object", "transformer", seed=1, width=16)
    tokens = torch.from_numpy(MultiObject().trials(3, np.random.default_rng(0)).tokens)
    logits = network(tokens)
    for row in range(3):
        naive = naive_transformer(network.state_dict(), tokens[row : row + 1])
        torch.testing.assert_close(logits[row], naive["logits"], atol=1e-5, rtol=1e-5)


def test_a_transformer_learns_from_trials_with_voids_and_is_judged_by_trials_without(tmp_path: Path) -> None:
    network, card = train("multi-object", "transformer", 0, tmp_path, width=8, recipe=QUICK)
    assert card.vocabulary == MultiObject(void=0.2).vocabulary.tokens
    assert network.task.vocabulary.tokens == MultiObject().vocabulary.tokens
    assert network.vocabulary.tokens[-1] == "V"
    site_free = load_network(tmp_path)
    assert site_free.fingerprint == network.fingerprint


def test_a_width_that_an_architecture_cannot_have_is_refused() -> None:
    with pytest.raises(ca.CausalignError, match="an even number; found 7"):
        ca.networks.build("multi-object", "lstm", seed=0, width=7)
    with pytest.raises(ca.CausalignError, match="the width must be even, found 7"):
        ca.networks.build("multi-object", "transformer", seed=0, width=7)
