"""Counterfactual datasets, whoever made them: against hooked runs of the plain module, one unpadded row at a time."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

import causalign as ca
from causalign.counterfactuals.dataset import require_seed
from causalign.counterfactuals.direction import Direction
from causalign.counterfactuals.interventions import interchange
from causalign.counterfactuals.row_source import RowRequest
from causalign.engine.run import run_interventions
from causalign.maps.base import AlignmentMap, random_frame
from causalign.report.page import write_report
from causalign.run_context import RunContext
from causalign.sites.base import Site
from naive_swap import state_at, swapped_logits

transformers = pytest.importorskip("transformers")
VOCABULARY, ROWS = 24, 60
QUICK = ca.SearchConfig(max_steps=2, eval_every=1, batch_size=8)
LLAMA = ca.zoo.folder("in-context/llama")


class Recurrent(nn.Module):
    """A user's own module."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.rnn = nn.Embedding(VOCABULARY, 12), nn.GRU(12, 16, batch_first=True)
        self.head = nn.Linear(16, VOCABULARY)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.head(self.rnn(self.embedding(tokens))[0])
        return logits


def language_model(kind: str, **more: Any) -> Any:
    sizes = {"vocab_size": VOCABULARY, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 1, "max_position_embeddings": 64}
    config = getattr(transformers, f"{kind}Config")(**(sizes | heads | {"pad_token_id": None} | more))
    return getattr(transformers, f"{kind}ForCausalLM")(config).eval()


def seeded(make: Callable[[], Any]) -> Any:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return make().eval()


@dataclass(frozen=True)
class Kind:
    """A user's module, the place of its site, and the submodule whose output is the state."""

    make: Callable[[], Any]
    at: str
    path: str

    def site(self) -> tuple[Site, Any]:
        module = seeded(self.make)
        return ca.Site(module, self.at), module


KINDS = {
    "residual stream of a Llama": Kind(lambda: language_model("Llama"), "layer.1", "model.layers.0"),
    "MLP of a Llama": Kind(lambda: language_model("Llama"), "model.layers.0.mlp", "model.layers.0.mlp"),
    "block of a Mixtral": Kind(
        lambda: language_model("Mixtral", num_local_experts=2, num_experts_per_tok=1),
        "model.layers.0",
        "model.layers.0",
    ),
    "a user's GRU": Kind(Recurrent, "rnn", "rnn"),
}


def arrays(rows: int = ROWS, seed: int = 0) -> dict[str, Any]:
    """Inputs of different lengths, positions within them, labels of one to three tokens of which one is not scored."""
    rng = np.random.default_rng(seed)
    sources, targets = ([rng.integers(0, VOCABULARY, n).tolist() for n in rng.integers(3, 9, rows)] for _ in range(2))
    labels = [rng.integers(0, VOCABULARY, n).tolist() for n in rng.integers(1, 4, rows)]
    continuations = [list(label) for label in labels]
    for label in labels[: rows // 3]:
        if len(label) == 3:
            label[1] = -100
    return {
        "source_inputs": sources,
        "source_positions": [int(rng.integers(len(row))) for row in sources],
        "target_inputs": targets,
        "target_positions": [int(rng.integers(len(row))) for row in targets],
        "labels": labels,
        "continuations": continuations,
        "values": rng.integers(0, 4, rows).tolist(),
    }


def all_rows(data: ca.Counterfactuals, split: str = "train") -> dict[Direction, ca.CounterfactualRows]:
    count = len(data.sites)
    directions = tuple(Direction(s, t) for s in range(count) for t in range(count))
    return data.rows(RowRequest(split, directions), RunContext(0, data.store))


def as_given(data: dict[str, Any]) -> ca.Counterfactuals:
    """A dataset whose training rows are the arrays, in their order."""
    rows = len(data["labels"])
    return {**data, "split": ["train"] * (rows - 2) + ["validation", "test"]}  # type: ignore[return-value]


@pytest.mark.parametrize("kind", KINDS)
def test_every_row_is_a_hooked_run_of_the_plain_module(kind: str) -> None:
    site, module = KINDS[kind].site()
    given: Any = as_given(arrays())
    data = ca.Counterfactuals.from_arrays(site, **given)
    rows = all_rows(data)[Direction(0, 0)]
    frame = AlignmentMap(random_frame(site.width, 3, torch.Generator().manual_seed(1)), 1.0)
    batch = rows.take(torch.arange(len(rows)))
    run = run_interventions(site, [batch], [interchange(batch.target_states, batch.source_states, frame, frame)])
    logits = site.read_out(run.features)
    path, projector = KINDS[kind].path, frame.frame @ frame.frame.mT
    for row in range(0, len(rows), 7):
        target = given["target_inputs"][row]
        t, whole = given["target_positions"][row], target + given["continuations"][row]
        state = state_at(module, path, given["source_inputs"][row], given["source_positions"][row])
        expected = swapped_logits(module, path, whole, t, state, projector)[t:-1]
        mine = (run.trial == row).nonzero().squeeze(1)
        torch.testing.assert_close(logits[mine], expected, atol=1e-5, rtol=1e-5)
        scored = [label != -100 for label in given["labels"][row]]
        assert run.determined[mine].tolist() == [False] * (len(target) - t - 1) + scored
        right = (expected.argmax(-1) == torch.tensor(whole[t + 1 :]))[run.determined[mine]].all()
        assert bool(run.correct()[row]) == bool(right)


def test_the_loss_is_over_the_scored_tokens_or_over_all_that_are_read() -> None:
    site, _ = KINDS["residual stream of a Llama"].site()
    given: Any = as_given(arrays())
    for loss in ("scored", "all"):
        data = ca.Counterfactuals.from_arrays(site, **given, loss=loss)
        rows = all_rows(data)[Direction(0, 0)]
        batch = rows.take(torch.arange(20))
        run = run_interventions(site, [batch], [batch.target_states])
        logits = site.read_out(run.features)
        counted = run.determined if loss == "scored" else torch.ones_like(run.determined)
        expected = nn.functional.cross_entropy(logits[counted], run.tokens[counted], reduction="sum")
        torch.testing.assert_close(run.loss(), expected)


def test_several_allowed_labels_count_and_train_alike() -> None:
    site, _ = KINDS["residual stream of a Llama"].site()
    inputs = {name: value for name, value in arrays().items() if "inputs" in name}
    labels = [{row % VOCABULARY, (row + 5) % VOCABULARY} for row in range(ROWS)]
    data = ca.Counterfactuals.from_arrays(site, **inputs, labels=labels, split=as_given(arrays())["split"])  # type: ignore[index]
    rows = all_rows(data)[Direction(0, 0)]
    batch = rows.take(torch.arange(len(rows)))
    run = run_interventions(site, [batch], [batch.source_states])
    logits = site.read_out(run.features)[run.trial.argsort()]
    logits = (
        logits if len(logits) == len(rows) else site.read_out(run.features[run.scored])[run.trial[run.scored].argsort()]
    )
    allowed = torch.tensor([sorted(label) for label in labels[: len(rows)]])
    assert run.correct().tolist() == (logits.argmax(-1)[:, None] == allowed).any(1).tolist()
    expected = -logits.log_softmax(-1).gather(1, allowed).logsumexp(1).sum()
    torch.testing.assert_close(run.loss(), expected, atol=1e-4, rtol=1e-5)


def datasets(kind: str) -> tuple[ca.Counterfactuals, ca.Counterfactuals]:
    """A dataset, and another of the same sites."""
    if kind == "tasks":
        sites = [ca.networks.build("multi-object", "gru", seed, width=8).site("hidden") for seed in range(2)]
        sizes: dict[str, Any] = {"n_train": 40, "n_validation": 20, "n_test": 20}
        return tuple(ca.Counterfactuals.from_task(sites, **sizes, seed=seed) for seed in (0, 1))  # type: ignore[return-value]
    site, _ = KINDS[kind].site()
    if "Llama" not in kind:
        return tuple(ca.Counterfactuals.from_arrays([site, site], **arrays(seed=seed)) for seed in (0, 1))  # type: ignore[return-value]
    made = []
    for seed in (0, 1):
        columns = arrays(seed=seed)
        table = pd.DataFrame({name: columns[f"{name}_inputs"] for name in ("source", "target")})
        table["at"] = [min(map(len, row)) - 1 for row in zip(table["source"], table["target"], strict=True)]
        table["label"] = [int(value) for value in columns["values"]]
        made.append(ca.Counterfactuals.from_table(table, [site, site], position="at"))
    return made[0], made[1]


def use_align(data: ca.Counterfactuals, other: ca.Counterfactuals, folder: Path) -> None:
    found = ca.align(data, rank=2, search=QUICK)
    assert found.record.data == data.fingerprint != other.fingerprint
    assert found.iia["rows"].tolist() == [data.counts["test"]] * 4
    assert len(ca.align(data, method="clmas", rank=2, search=QUICK).iia) == 4
    assert len(ca.align(data, method="procrustes", rank=2).iia) == 2


def use_estimate(data: ca.Counterfactuals, other: ca.Counterfactuals, folder: Path) -> None:
    estimate = ca.estimate(data, rank=2, search=QUICK)
    assert estimate.seconds > 0
    assert estimate.operations > 0
    assert estimate.tables > 0


def use_score(data: ca.Counterfactuals, other: ca.Counterfactuals, folder: Path) -> None:
    found = ca.align(data, rank=2, search=QUICK)
    pd.testing.assert_frame_equal(ca.score(found, data), found.iia)
    assert len(found.score(other)) == 4


def use_controls(data: ca.Counterfactuals, other: ca.Counterfactuals, folder: Path) -> None:
    found = ca.align(data, rank=2, search=QUICK, controls=True)
    assert set(found.worst_controls) == {"untrained", "shuffled", "random"}
    assert len(found.controls) == 12


def use_best_rank(data: ca.Counterfactuals, other: ca.Counterfactuals, folder: Path) -> None:
    record = ca.align(data, rank=ca.BestRank([1, 2], trial_steps=1), search=QUICK).record
    assert [tried.rank for tried in record.ranks] == [1, 2]


def use_smallest_rank(data: ca.Counterfactuals, other: ca.Counterfactuals, folder: Path) -> None:
    assert ca.align(data, rank=ca.SmallestRank(1.0), search=QUICK).record.rank == 1


def use_closed_form(data: ca.Counterfactuals, other: ca.Counterfactuals, folder: Path) -> None:
    start = ca.align(data, rank=2, start="closed-form", search=ca.SearchConfig(max_steps=0))
    drawn = ca.align(data, rank=2, start="random", search=ca.SearchConfig(max_steps=0))
    assert (start.record.start, drawn.record.start) == ("closed-form", "random")
    assert not torch.equal(start.maps[0].frame, drawn.maps[0].frame)


def use_files(data: ca.Counterfactuals, other: ca.Counterfactuals, folder: Path) -> None:
    found = ca.align(data, rank=2, search=QUICK)
    loaded = ca.load_alignment(found.save(folder))
    assert loaded.record == found.record
    pd.testing.assert_frame_equal(loaded.iia, found.iia)
    assert write_report(folder).exists()


def use_rows(data: ca.Counterfactuals, other: ca.Counterfactuals, folder: Path) -> None:
    found = ca.align(data, rank=2, search=QUICK)
    assert len(found.rows) == 4 * data.counts["test"]
    means = found.rows.groupby(["source", "target"], sort=False)[["correct", "no_swap"]].mean()
    np.testing.assert_allclose(means["correct"], found.iia["iia"])
    np.testing.assert_allclose(means["no_swap"], found.iia["no_swap"])
    pd.testing.assert_frame_equal(ca.load_alignment(found.save(folder)).rows, found.rows)


def use_metrics(data: ca.Counterfactuals, other: ca.Counterfactuals, folder: Path) -> None:
    found = ca.align(data, rank=2, search=QUICK)
    table = found.score(other, ["iia", "probability", "logit_difference", "kl"])
    assert table["probability"].between(0, 1).all()
    assert (table["kl"] >= -1e-6).all()
    assert table[["probability_se", "logit_difference_se", "kl_se"]].notna().all(axis=None)


def use_swap(data: ca.Counterfactuals, other: ca.Counterfactuals, folder: Path) -> None:
    found = ca.align(data, rank=2, search=QUICK)
    swapped = found.swap([1, 2, 3], [4, 5], source=0, target=1)
    top = swapped.top(3)
    assert list(top.columns) == ["id", "token", "probability", "no_swap_probability"]
    assert top["probability"].is_monotonic_decreasing
    loaded = ca.load_alignment(found.save(folder))
    with pytest.raises(ca.InvalidArgument, match="a loaded alignment has no networks to run"):
        loaded.swap([1], [2])
    again = loaded.with_sites(data.sites).swap([1, 2, 3], [4, 5])
    torch.testing.assert_close(again.logits, swapped.logits)


USES = {
    "align": use_align,
    "estimate": use_estimate,
    "score on other data": use_score,
    "controls": use_controls,
    "BestRank": use_best_rank,
    "SmallestRank": use_smallest_rank,
    "closed-form start": use_closed_form,
    "save, load, report": use_files,
    "rows": use_rows,
    "metrics": use_metrics,
    "swap": use_swap,
}


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("kind", ["tasks", *KINDS])
def test_everything_works_on_anybodys_data(kind: str, use: str, tmp_path: Path) -> None:
    USES[use](*datasets(kind), tmp_path)


def test_the_table_of_the_docs_is_the_one_that_is_tested() -> None:
    text = (Path(__file__).parent.parent / "docs/own-data.md").read_text()
    (table,) = re.findall(r"^\| \| align .*?(?=\n\n)", text, re.MULTILINE | re.DOTALL)
    header, _, *lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]
    assert header[1:] == list(USES)
    assert len(lines) == len(KINDS) + 1
    assert all(cell == "yes" for line in lines for cell in line[1:])


def test_the_search_learns_what_a_users_rows_ask_for() -> None:
    """Rows that the task wrote, handed over as arrays: DAS finds the subspace without knowing of the task."""
    network = ca.zoo.load("multi-object/gru", 0)
    site = network.site("hidden")
    drawn = ca.Counterfactuals.from_task(site, n_train=2000, n_validation=200, n_test=200)
    columns: dict[str, list[Any]] = {
        name: [] for name in ("source", "target", "s", "t", "label", "continuation", "split")
    }
    for split in ("train", "validation", "test"):
        rows = all_rows(drawn, split)[Direction(0, 0)]
        trials: Any = rows.source.trials
        of, at = np.divmod(rows.source.keys[rows.columns["source_rows"].numpy()], rows.source.time)
        ids = site.encode(trials.tokens).numpy()
        for row in range(len(rows)):
            length, t = int(rows.lengths[row]), int(rows.places.position[row])
            tokens = rows.tokens[row, :length].tolist()
            columns["source"].append(ids[of[row], : at[row] + 1])
            columns["target"].append(ids[int(rows.places.trial[row]), : t + 1])
            columns["continuation"].append(tokens)
            scored = rows.determined[row, :length].tolist()
            columns["label"].append([token if s else -100 for token, s in zip(tokens, scored, strict=True)])
            columns["split"].append(split)
    data = ca.Counterfactuals.from_arrays(
        site,
        source_inputs=columns["source"],
        target_inputs=columns["target"],
        labels=columns["label"],
        continuations=columns["continuation"],
        split=columns["split"],
        loss="all",
    )
    config = ca.SearchConfig(max_steps=120, learning_rate=1e-2, target_iia=0.5)
    found = ca.align(data, method="das", rank=32, start="random", search=config)
    assert found.worst_iia > 0.45 > 3 * found.iia["no_swap"].item()


def test_text_is_read_by_the_networks_own_tokenizer() -> None:
    network = ca.networks.from_pretrained(LLAMA)
    table = pd.DataFrame(
        {
            "source": [f"User{' nut' * n}:" for n in range(2, 12)],
            "target": [f"User{' nut' * (13 - n)}:" for n in range(2, 12)],
            "label": [" seed" * (n % 3 + 1) + " stop" for n in range(2, 12)],
            "piece": ["User"] * 10,
        }
    )
    site = network.site("layer.1")
    data = ca.Counterfactuals.from_table(table, site, position=ca.TextPosition("piece"), split=(0.6, 0.2, 0.2))
    rows = all_rows(data)[Direction(0, 0)]
    assert rows.places.position.tolist() == [0] * 6
    assert "6 train, 2 validation, 2 test" in repr(data)
    many = table[table["target"].str.count("nut") > 1].assign(piece="User nut", source=table["target"])
    with pytest.raises(ca.InvalidArgument, match="tokens of a TextPosition 'most'; did you mean 'last'"):
        ca.TextPosition("piece", "most")
    piece = ca.TextPosition("piece", "all")
    several = ca.Counterfactuals.from_table(many, site, position=piece, split=(0.6, 0.2, 0.2))
    assert set(map(tuple, all_rows(several)[Direction(0, 0)].places.positions.tolist())) == {(0, 1)}
    if find_spec("datasets"):
        same: Any = import_module("datasets").Dataset.from_pandas(table)
        twin = ca.Counterfactuals.from_table(same, site, position=ca.TextPosition("piece"), split=(0.6, 0.2, 0.2))
        assert twin.fingerprint == data.fingerprint
    with pytest.raises(ca.CausalignError, match=r"row 0: ' nut' occurs 2 times in 'User nut nut:', not once"):
        ca.Counterfactuals.from_table(table.assign(piece=" nut"), site, position=ca.TextPosition("piece"))
    with pytest.raises(ca.CausalignError, match="the tokenizer of .* does not know all of 'User zebra:'"):
        ca.Counterfactuals.from_table(table.assign(source="User zebra:"), site)
    with pytest.raises(ca.InvalidArgument, match=r"unknown column \(source\) 'sorce'; did you mean 'source'"):
        ca.Counterfactuals.from_table(table, site, source="sorce")


def test_pads_are_dropped_on_either_side() -> None:
    site, _ = KINDS["residual stream of a Llama"].site()
    given = arrays()
    longest = max(map(len, given["source_inputs"]))
    padded, mask, positions = [], [], []
    for index, (row, position) in enumerate(zip(given["source_inputs"], given["source_positions"], strict=True)):
        before = (longest - len(row)) * (index % 2)
        padded.append([0] * before + row + [0] * (longest - len(row) - before))
        mask.append([0] * before + [1] * len(row) + [0] * (longest - len(row) - before))
        positions.append(position + before)
    masked = {**given, "source_inputs": padded, "source_mask": mask, "source_positions": positions}
    assert ca.Counterfactuals.from_arrays(site, **masked).fingerprint == (
        ca.Counterfactuals.from_arrays(site, **given).fingerprint
    )


def test_one_long_row_does_not_widen_the_tables() -> None:
    site, _ = KINDS["residual stream of a Llama"].site()
    sizes = []
    for lengths in ([6] * 80, [6] * 80 + [60]):
        rng = np.random.default_rng(0)
        rolled = [rng.integers(0, VOCABULARY, n) for n in lengths]
        split = ["validation", "test"] + ["train"] * (len(rolled) - 2)
        data = ca.Counterfactuals.from_arrays(
            site,
            source_inputs=rolled,
            target_inputs=rolled,
            labels=[index % VOCABULARY for index in range(len(rolled))],
            split=split,
        )
        rows = all_rows(data)[Direction(0, 0)]
        assert rows.source.prefix.nbytes == 0  # what precedes a mere source is never needed
        sizes.append(rows.target.nbytes)
    assert sizes[1] - sizes[0] < 0.2 * sizes[0]


GOOD: dict[str, Any] = {
    "source_inputs": [[1, 2, 3], [1, 2], [4, 5], [6, 7]],
    "target_inputs": [[1, 3], [2, 2], [3, 4], [5, 6]],
    "labels": [4, 1, 2, 3],
}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"source_positions": [3, 0, 0, 0]}, "row 0: there is no token at source_positions 3; the row has length 3"),
        ({"target_positions": [1, -3, 0, 0]}, "row 1: there is no token at target_positions -3; the row has length 2"),
        ({"source_positions": None}, "source_positions must be a whole number.* found None"),
        ({"source_positions": [2]}, "source_positions needs one entry for each of 4 rows of source_inputs; found 1"),
        ({"source_positions": [0.5] * 4}, "source_positions must be a whole number, or one per row"),
        ({"source_inputs": [[1, 99]] * 4}, "row 0: source_inputs has the id 99, but .* has the token ids 0 to 23"),
        ({"source_inputs": "text"}, "source_inputs must be rows of ids, found str"),
        ({"source_inputs": [[1, 2.5]] * 4}, "source_inputs, row 0: a row must be a sequence of whole numbers"),
        ({"source_mask": [[1, 1, 0], [1, 1], [1, 1], [1, 1]], "source_positions": 2}, "row 0: there is no token"),
        ({"labels": [4, 1, 2, 99]}, "row 3: labels has the id 99"),
        ({"labels": [4, 1, 2, "R"]}, "row 3: the label 'R' is text: give a tokenizer, or ids"),
        ({"labels": [4, 1, 2, [-100]]}, "row 3: no token of the label is scored"),
        ({"labels": [4, 1, 2, [-100, 3]]}, "row 3: the label is -100 before a scored id: give continuations"),
        ({"labels": [4, 1, 2, [-1, 3]]}, "row 3: labels has the id -1; use -100 for a token that is not scored"),
        ({"labels": [4, 1, 2]}, "same number of rows; found 4 source_inputs, 4 target_inputs, 3 labels"),
        ({"split": ["train", "train", "test", "tset"]}, "unknown split 'tset'; did you mean 'test'"),
        ({"split": ["train", "train", "test", "test"]}, "the split validation has no rows"),
        ({"split": (0.5, 0.5, 0.5)}, "split must be three positive shares"),
        ({"seed": -1}, "seed must be a whole number, at least 0; found -1"),
        ({"loss": "some"}, "unknown loss 'some'"),
        ({"memory": -1.0}, "memory must be a number of GiB"),
    ],
)
def test_rows_that_cannot_be_are_named(changes: dict[str, Any], message: str) -> None:
    site, _ = KINDS["residual stream of a Llama"].site()
    ca.Counterfactuals.from_arrays(site, **GOOD)
    with pytest.raises(ca.InvalidArgument, match=message):
        ca.Counterfactuals.from_arrays(site, **{**GOOD, **changes})


def test_a_seed_is_a_whole_number() -> None:
    with pytest.raises(ca.InvalidArgument, match="seed must be a whole number, at least 0; found 1.5"):
        require_seed(1.5)


def test_the_same_row_is_not_in_two_splits() -> None:
    site, _ = KINDS["residual stream of a Llama"].site()
    twice: dict[str, Any] = {name: [*value, value[0]] for name, value in GOOD.items()}
    with pytest.raises(ca.CausalignError, match="1 rows are both in train and in test"):
        ca.Counterfactuals.from_arrays(site, **twice, split=["train", "validation", "validation", "train", "test"])
    data = ca.Counterfactuals.from_arrays(site, **twice)
    assert data.notes == ("1 rows occur more than once; copies of a row stay in one split.",)
    assert sum(data.counts.values()) == 5


def test_what_a_dataset_lacks_is_said_in_a_line() -> None:
    site, _ = KINDS["residual stream of a Llama"].site()
    data = ca.Counterfactuals.from_arrays(site, **{**GOOD, "labels": [4, 4, 4, 4]})
    found = ca.align(data, method="das", rank=2, search=QUICK)
    assert found.record.start == "random"
    assert found.record.notes[-1].startswith("The start is random: a closed-form start needs two values")
    with pytest.raises(ca.CausalignError, match="a closed-form start needs two values, or labels"):
        ca.align(data, method="das", rank=2, start="closed-form", search=QUICK)
    with pytest.raises(ca.CausalignError, match="variable configures how a dataset is drawn from tasks, but one is"):
        ca.align(data, method="das", variable="count")
    with pytest.raises(ca.CausalignError, match="has no task to draw counterfactuals from: name one for the site, or"):
        ca.align(site, method="das", rank=2)
    with pytest.raises(ca.CausalignError, match="and its map was found for .*: give the sites in their order"):
        ca.score(found, ca.Counterfactuals.from_arrays(seeded(lambda: other_site()), **GOOD))


def other_site() -> Any:
    class Held(nn.Module):
        """A site, so that `seeded` can be used for it."""

    held: Any = Held()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        site = ca.Site(language_model("Llama"), "layer.1")
    held.eval = lambda: site
    return held


def test_pads_without_a_mask_are_refused() -> None:
    """A tokenizer's pads, to the left of a row, would be read as tokens."""
    config = transformers.LlamaConfig(
        vocab_size=VOCABULARY, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, pad_token_id=0,
    )  # fmt: skip
    site = ca.Site(seeded(lambda: transformers.LlamaForCausalLM(config)), "layer.1")
    padded = [[0, 0, 3, 4 + row % 9] for row in range(30)]
    given: dict[str, Any] = {"target_inputs": [[5, 6 + row % 9] for row in range(30)], "labels": list(range(20)) * 2}
    given["labels"] = given["labels"][:30]
    with pytest.raises(ca.InvalidArgument, match=r"row 0: source_inputs begins with the pad 0.*source_mask"):
        ca.Counterfactuals.from_arrays(site, source_inputs=padded, **given)
    masked = [[0, 0, 1, 1]] * 30
    assert ca.Counterfactuals.from_arrays(site, source_inputs=padded, source_mask=masked, **given).counts["train"] == 24


ROPES: dict[str, Any] = {
    "longest row beside": ("Mixtral", {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 10000.0}),
    "trials of 91 tokens are too long; the model has 40 positions": (
        "Phi3",
        {
            "rope_type": "longrope",
            "rope_theta": 100.0,
            "short_factor": [1.0, 1.5, 2.0, 3.0],
            "long_factor": [1.0, 2.0, 4.0, 8.0],
        },
    ),
}


@pytest.mark.parametrize("rope", ROPES)
def test_a_network_that_depends_on_the_longest_row_beside_it_is_refused(rope: str) -> None:
    """Such rotary positions turn all of a batch otherwise once one row is longer than the model was made for."""
    family, parameters = ROPES[rope]
    sizes = {"num_local_experts": 2, "num_experts_per_tok": 1, "head_dim": 8} if family == "Mixtral" else {}
    if family == "Phi3":
        sizes = {"original_max_position_embeddings": 40, "max_position_embeddings": 160}
    model = seeded(lambda: language_model(family, **sizes, rope_parameters=parameters))
    with torch.no_grad():
        for name, weight in model.model.layers.named_parameters():
            if "norm" not in name:
                weight *= 20  # at its first weights, attention hardly tells positions apart
    site = ca.Site(model, "model.layers.1")
    rng = np.random.default_rng(0)
    inputs = [rng.integers(0, VOCABULARY, n) for n in (*[8] * 40, 90)]
    data = ca.Counterfactuals.from_arrays(
        site,
        source_inputs=inputs,
        target_inputs=inputs[::-1],
        labels=[index % 7 for index in range(41)],
        target_positions=0,
        split=["validation", "test", *["train"] * 39],
    )
    with pytest.raises(ca.CausalignError, match=rope):
        ca.align(data, method="das", rank=2, search=QUICK)
