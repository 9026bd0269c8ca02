"""Interventions from arrays: against those that a task draws, and against whole runs of a padded model."""

from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

import causalign as ca
from causalign.counterfactuals.direction import Direction
from causalign.counterfactuals.from_task import draw_rows
from causalign.counterfactuals.interventions import interchange
from causalign.engine.activation_cache import read_activations
from causalign.engine.run import run_interventions
from causalign.maps.base import AlignmentMap, random_frame
from causalign.networks.gru import GRU
from causalign.sites.base import Site
from causalign.tasks.base import Sequences
from causalign.tasks.no_task import NoTask
from causalign.tasks.variable import Variable

Pair = tuple[GRU, GRU]
BEHAVIOUR = ("train", "validation", "test")
QUICK = ca.SearchConfig(most_steps=3, check_every=1, batch=8)


def drawn(sites: Sequence[Site], stepwise: bool = False, count: int = 30) -> dict[Direction, ca.CounterfactualRows]:
    recorded = read_activations(sites, count, 0, "train", stepwise)
    directions = [Direction(0, 1), Direction(1, 1)]
    return draw_rows(sites, [Variable("full")] * 2, directions, recorded, count, 0, "train", stepwise=stepwise)


def as_arrays(given: ca.CounterfactualRows, source: Site, target: Site) -> dict[str, Any]:
    """What a user would have written down of drawn interventions."""
    rows = range(len(given))
    places = given.places
    if given.source.stepwise:
        of, at = given.source_rows[:, 0] // given.source.row.shape[1], places.position
    else:
        where = {row: (trial, position) for (trial, position), row in np.ndenumerate(given.source.row) if row >= 0}
        of, at = (torch.tensor(each) for each in zip(*(where[int(row)] for row in given.source_rows), strict=True))
    source_trials, target_trials = (
        site.encode(cast("Sequences", recorded.trials).tokens).numpy()
        for site, recorded in ((source, given.source), (target, given.target))
    )
    return {
        "source_tokens": source_trials[of.numpy()],
        "source_positions": at.numpy(),
        "target_tokens": target_trials[places.trial.numpy()],
        "target_positions": places.position.numpy(),
        "continuations": [given.tokens[row, : given.lengths[row]].tolist() for row in rows],
        "determined": [given.determined[row, : given.lengths[row]].tolist() for row in rows],
    }


def logits(site: Site, given: ca.CounterfactualRows, maps: Sequence[AlignmentMap]) -> torch.Tensor:
    batch = given.take(torch.arange(len(given)))
    run = run_interventions(site, [batch], [interchange(batch.target_states, batch.source_states, maps[1], maps[0])])
    return site.read_out(run.features)


@pytest.mark.parametrize(("at", "stepwise"), [("hidden", False), ("embedding", False), ("embedding", True)])
def test_arrays_give_what_the_task_drew(tiny_pair: Pair, at: str, stepwise: bool) -> None:
    sites = [network.site(at) for network in tiny_pair]
    maps = [AlignmentMap(random_frame(site.width, 3, torch.Generator().manual_seed(1)), 1.5) for site in sites]
    for direction, given in drawn(sites, stepwise).items():
        source, target = (sites[index] for index in direction)
        chosen = [maps[index] for index in direction]
        own = ca.CounterfactualRows.from_arrays(source, target, **as_arrays(given, source, target), stepwise=stepwise)
        torch.testing.assert_close(logits(target, own, chosen), logits(target, given, chosen))
        assert torch.equal(own.determined, given.determined[:, : own.determined.shape[1]])


def test_a_table_is_its_columns(tiny_pair: Pair) -> None:
    sites = [network.site("hidden") for network in tiny_pair]
    given = drawn(sites)[Direction(0, 1)]
    arrays = {name: list(column) for name, column in as_arrays(given, *sites).items()}
    tables: list[Any] = [arrays, pd.DataFrame(arrays)]
    if find_spec("datasets"):
        datasets: Any = import_module("datasets")
        tables.append(
            datasets.Dataset.from_dict({name: [np.asarray(e).tolist() for e in c] for name, c in arrays.items()})
        )
    for table in tables:
        own = ca.CounterfactualRows.from_table(sites[0], sites[1], table)
        torch.testing.assert_close(own.source_states, given.source_states)
        assert own.lengths.tolist() == given.lengths.tolist()
    with pytest.raises(ca.CausalignError, match="has no column source_positions; it has source_tokens$"):
        ca.CounterfactualRows.from_table(sites[0], sites[1], {"source_tokens": [[1]]})


def all_directions(sites: Sequence[Site], count: int = 40) -> dict[Any, ca.CounterfactualRows]:
    directions = [(source, target) for source in range(len(sites)) for target in range(len(sites))]
    rng = np.random.default_rng(0)
    made: dict[Any, ca.CounterfactualRows] = {}
    for source, target in directions:
        tokens = rng.integers(1, 6, (2, count, 5))
        positions, steps = rng.integers(0, 5, (2, count)), rng.integers(1, 4, count)
        continuations = [rng.integers(1, 6, step).tolist() for step in steps]
        made[source, target] = ca.CounterfactualRows.from_arrays(
            sites[source],
            sites[target],
            source_tokens=tokens[0],
            source_positions=positions[0],
            target_tokens=tokens[1],
            target_positions=positions[1],
            continuations=continuations,
        )
    return made


@pytest.mark.parametrize("places", [("hidden", "embedding"), ("embedding", "hidden")])
def test_an_alignment_of_own_interventions_runs(tiny_pair: Pair, places: tuple[str, str], tmp_path: Any) -> None:
    sites = [network.site(at) for network, at in zip(tiny_pair, places, strict=True)]
    given = {split: all_directions(sites) for split in BEHAVIOUR}
    found = ca.align(sites, rank=3, interventions=given, settings=QUICK)
    assert found.record.start == "random"
    assert found.iia["trials"].tolist() == [40] * 4
    found.save(tmp_path)
    assert ca.load_alignment(tmp_path).worst_iia == found.worst_iia


def test_a_search_learns_what_own_interventions_ask_for(zoo_pair: Pair) -> None:
    """Interventions that the task wrote, handed over as arrays: DAS finds the subspace without knowing of the task."""
    site = zoo_pair[0].site("hidden")
    given = {}
    for index, (split, count) in enumerate(zip(BEHAVIOUR, (2000, 200, 200), strict=True)):
        recorded = read_activations([site], count, index, split)
        task_drawn = draw_rows([site], [Variable("full")], [Direction(0, 0)], recorded, count, index, split)
        given[split] = ca.CounterfactualRows.from_arrays(
            site, site, **as_arrays(task_drawn[Direction(0, 0)], site, site)
        )
    settings = ca.SearchConfig(most_steps=120, learning_rate=1e-2, enough=0.5)
    found = ca.align(site, method="das", rank=32, interventions=given, settings=settings)
    assert found.worst_iia > 0.45 > 3 * found.no_swap["iia"].item()


GOOD: dict[str, Any] = {
    "source_tokens": [[1, 2, 3], [1, 2]],
    "source_positions": [2, 0],
    "target_tokens": [[1, 3], [2, 2]],
    "target_positions": [1, 1],
    "continuations": [[4, 5], [1]],
}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"source_positions": [3, 0]}, "row 0: there is no token at source_positions 3 of 3"),
        ({"target_positions": [1, -1]}, "row 1: there is no token at target_positions -1 of 2"),
        (
            {"source_tokens": [[1, 2, 3], [1, 99]]},
            "row 1: source_tokens has the id 99, and .* has the token ids 0 to 7",
        ),
        ({"continuations": [[4, 8], [1]]}, "row 0: continuations has the id 8, and .* has the token ids 0 to 7"),
        ({"continuations": [[4, -100, 5], [1]]}, "row 0: continuations has a negative id before its end"),
        ({"determined": [[0, 0], [1]]}, "row 0: determined selects nothing of 2 continuations"),
        ({"continuations": [[4], [-100]]}, "row 1: determined selects nothing of 0 continuations"),
        ({"determined": [[1], [1]]}, "row 0: determined has 1 entries for 2 continuations"),
        ({"continuations": [[4]]}, "found 2 of the source, 2 of the target, 1 continuations"),
        ({"source_positions": [2]}, "2 rows of source_tokens, 1 source_positions"),
        ({"source_tokens": [[1, 2.5, 3], [1, 2]]}, "source_tokens, row 0: whole numbers in a row are needed"),
        ({"source_tokens": [["a"], [1, 2]]}, "source_tokens, row 0: whole numbers in a row are needed"),
        ({"source_mask": [[1, 1, 0], [1, 1]]}, "row 0: there is no token at source_positions 2 of 3"),
        ({"source_mask": [[1, 1], [1, 1]]}, "row 0: source_mask has 2 entries for 3 source_tokens"),
        ({"stepwise": True}, "row 0: a stepwise swap goes to one position on both sides, found 2 and 1"),
        ({name: [] for name in GOOD}, "at least one; found 0 of the source"),
    ],
)
def test_rows_that_cannot_be_are_named(tiny_pair: Pair, changes: dict[str, Any], message: str) -> None:
    site = tiny_pair[0].site("embedding")
    ca.CounterfactualRows.from_arrays(site, site, **GOOD)
    with pytest.raises(ca.CausalignError, match=message):
        ca.CounterfactualRows.from_arrays(site, site, **{**GOOD, **changes})


def _of_another(sites: Sequence[Site]) -> Any:
    given = all_directions(sites)
    return {split: {**given, (0, 1): given[1, 0]} for split in BEHAVIOUR}


REFUSED: list[tuple[Callable[[Sequence[Site]], Any], dict[str, Any], str]] = [
    (lambda s: {}, {}, "interventions are given by split, train, validation, test; found nothing"),
    (lambda s: {split: {} for split in BEHAVIOUR}, {}, r"train interventions of the direction \(0, 0\) are missing"),
    (_of_another, {}, r"the direction \(0, 1\) have the source .* \(width 9\), and site 0 is .* \(width 6\)"),
    (lambda s: dict.fromkeys(BEHAVIOUR, all_directions(s)), {"method": "clmas"}, "needs counterfactual latents"),
    (lambda s: dict.fromkeys(BEHAVIOUR, all_directions(s)), {"rank": "auto"}, 'rank="auto" goes by states with known'),
    (
        lambda s: dict.fromkeys(BEHAVIOUR, all_directions(s)),
        {"start": "paired"},
        "a paired start needs the same trials",
    ),
    (
        lambda s: dict.fromkeys(BEHAVIOUR, all_directions(s)),
        {"method": "mas-stepwise"},
        "takes swaps that are stepwise, and the train interventions are single states",
    ),
]


@pytest.mark.parametrize(("given", "arguments", "message"), REFUSED, ids=lambda each: str(each)[:40])
def test_interventions_that_do_not_fit_are_refused(
    tiny_pair: Pair, given: Callable[[Sequence[Site]], Any], arguments: dict[str, Any], message: str
) -> None:
    sites = [network.site("embedding") for network in tiny_pair]
    with pytest.raises(ca.CausalignError, match=message):
        ca.align(sites, **{"rank": 2, "settings": QUICK, **arguments}, interventions=given(sites))


def test_a_model_without_a_task_is_aligned_on_padded_rows() -> None:
    """A tokenizer's pads on the left: positions are those of the tokens that are there, as masks say to the model."""
    transformers = pytest.importorskip("transformers")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model: Any = transformers.GPT2LMHeadModel(
            transformers.GPT2Config(vocab_size=50, n_embd=32, n_layer=2, n_head=4, n_positions=40)
        )
    network = ca.networks.HuggingFace(model, name="tiny")
    assert isinstance(network.task, NoTask)
    site = network.site("layer.1")
    rng = np.random.default_rng(0)
    tokens, mask = rng.integers(1, 50, (8, 9)), np.ones((8, 9), dtype=int)
    for row in range(8):
        mask[row, : row % 5] = 0
    tokens[mask == 0] = 0
    continuations = rng.integers(1, 50, (8, 4))
    own = ca.CounterfactualRows.from_arrays(
        site,
        site,
        source_tokens=tokens,
        source_positions=[8] * 8,
        source_mask=mask,
        target_tokens=tokens[::-1],
        target_positions=[7] * 8,
        target_mask=mask[::-1],
        continuations=continuations,
    )
    there = torch.from_numpy(mask)
    seen: list[torch.Tensor] = []
    layers: nn.ModuleList = model.transformer.h
    hook = layers[0].register_forward_hook(lambda _, inputs, out: seen.append(out))
    positions = (there.cumsum(1) - 1).clamp(min=0)
    model(input_ids=torch.from_numpy(tokens), attention_mask=there, position_ids=positions)
    hook.remove()
    torch.testing.assert_close(own.source_states, seen[0][:, 8], atol=1e-5, rtol=1e-5)
    whole = torch.from_numpy(np.concatenate([tokens[::-1][:, :8], continuations], axis=1))
    there = torch.cat([there.flip(0)[:, :8], torch.ones(8, 4, dtype=torch.long)], dim=1)
    source = own.source_states
    hook = layers[0].register_forward_hook(
        lambda _, inputs, out: torch.cat([out[:, :7], source[:, None], out[:, 8:]], dim=1)
    )
    expected = model(input_ids=whole, attention_mask=there, position_ids=(there.cumsum(1) - 1).clamp(min=0)).logits
    hook.remove()
    batch = own.take(torch.arange(8))
    run = run_interventions(site, [batch], [batch.source_states])
    order = torch.argsort(run.trial, stable=True)
    found = site.read_out(run.features)[order].view(8, 4, -1)
    torch.testing.assert_close(found, expected[:, 7:11], atol=1e-4, rtol=1e-4)
    splits = dict.fromkeys(BEHAVIOUR, own)
    assert len(ca.align(site, method="das", rank=2, interventions=splits, settings=QUICK).iia) == 1
    with pytest.raises(ca.CausalignError, match="there is no task to write trials"):
        ca.align(site, method="das", rank=2)
