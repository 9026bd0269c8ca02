"""Several variables at once: a known answer, hooked runs of the plain module, files, and what is refused."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import causalign as ca
from causalign.alignment.spec import AlignmentSpec
from causalign.counterfactuals.direction import Direction
from causalign.counterfactuals.interventions import interchange, intervene
from causalign.counterfactuals.row_source import RowRequest
from causalign.counterfactuals.rows import CounterfactualRows
from causalign.maps.base import AlignmentMap, random_frame
from causalign.run_context import RunContext
from causalign.search.initialisation import block_maps
from causalign.search.rank_notation import rank_selection_of
from causalign.search.rank_selection import BestRank, FixedRank, SmallestRank
from equality import LEFT, RIGHT, Equality, equality_rows
from naive_swap import plain_logits, state_at, swapped_logits
from test_counterfactuals import QUICK, Recurrent, arrays, seeded

Run = Callable[..., tuple[int, str, str]]
SEARCH = ca.SearchConfig(max_steps=400, batch_size=64, patience=20)
ROWS = 2000
NAMES = ("size", "color")


def equality_data(*modules: Equality, rows: int = ROWS, **changes: Any) -> ca.Counterfactuals:
    sites = [ca.Site(module, "hidden", name=f"equality/{index}") for index, module in enumerate(modules)]
    return ca.Counterfactuals.from_arrays(sites, **{"split": (0.5, 0.25, 0.25)} | equality_rows(rows, 0) | changes)


def directions(module: Equality) -> dict[str, torch.Tensor]:
    return {LEFT: module.pairs.basis[0], RIGHT: module.pairs.basis[1]}


@pytest.fixture(scope="module")
def equal() -> tuple[Equality, ca.Counterfactuals, ca.Alignment]:
    """The network alone, and the blocks that are found in it from a random start."""
    module = Equality()
    data = equality_data(module)
    return module, data, ca.align(data, method="das", rank={LEFT: 1, RIGHT: 2}, start="random", search=SEARCH, seed=1)


def user_data(rows: int = 60, **changes: Any) -> tuple[ca.Counterfactuals, Any, dict[str, Any]]:
    """Rows of a user's untrained recurrent network, every third of a second variable."""
    module = seeded(Recurrent)
    given = arrays(rows) | {"variables": [NAMES[row % 3 == 1] for row in range(rows)]} | changes
    return ca.Counterfactuals.from_arrays(ca.Site(module, "rnn"), **given), module, given


def test_the_blocks_of_a_known_network_are_found(equal: tuple[Equality, ca.Counterfactuals, ca.Alignment]) -> None:
    module, data, found = equal
    assert data.variables.names == tuple(dict.fromkeys(equality_rows(ROWS, 0)["variables"]))
    assert found.iia["variable"].tolist() == list(data.variables.names)
    assert found.iia["iia"].tolist() == [1.0, 1.0]
    assert found.worst_iia == found.iia["iia"].min()
    assert (found.iia["no_swap"] - 0.5).abs().max() < 0.15
    assert found.iia["rows"].tolist() == [(found.rows["variable"] == name).sum() for name in data.variables.names]
    frame = found.maps[0].frame
    torch.testing.assert_close(frame.mT @ frame, torch.eye(3), atol=1e-5, rtol=0)
    for name, direction in directions(module).items():
        (block,) = found.block(name)
        assert block.rank == {LEFT: 1, RIGHT: 2}[name]
        cosine = float(
            (block.frame.mT @ direction).norm()
        )  # of the principal angle between the direction and the block
        assert cosine > 0.9, name  # the search stops once all validation rows are right
        other = found.block(RIGHT if name == LEFT else LEFT)[0]
        assert float((other.frame.mT @ direction).norm()) < 0.3, name


def test_the_block_of_the_other_variable_does_no_better_than_nothing(
    equal: tuple[Equality, ca.Counterfactuals, ca.Alignment],
) -> None:
    module, _, found = equal
    exchanged = [LEFT if name == RIGHT else RIGHT for name in equality_rows(ROWS, 0)["variables"]]
    wrong = found.score(equality_data(module, variables=exchanged))
    assert (wrong["iia"] - 0.5).abs().max() < 0.15


def test_the_closed_form_start_has_the_directions_of_a_known_network() -> None:
    modules = Equality(), Equality(16, seed=1, scale=3.0)
    data = equality_data(*modules)
    start = ca.align(data, rank={LEFT: 1, RIGHT: 1}, search=SEARCH.replace(max_steps=0))
    assert start.record.start == "closed-form"
    for module, each in zip(modules, start.maps, strict=True):
        for name, direction in directions(module).items():
            assert float((each.block(name).frame.mT @ direction).norm()) > 0.98
    found = ca.align(data, rank={RIGHT: 2, LEFT: 2}, search=SEARCH)
    assert len(found.iia) == 8
    assert found.worst_iia == 1
    for module, each in zip(modules, found.maps, strict=True):
        for name, direction in directions(module).items():
            assert float((each.block(name).frame.mT @ direction).norm()) > 0.98
    assert list(found.maps[0].blocks) == list(data.variables.names)
    assert found.maps[1].scale / found.maps[0].scale == pytest.approx(1 / 3, rel=0.3)
    labels = found.naturalness.groupby(["source", "target"])["variable"].apply(set)
    assert all(each == {LEFT, RIGHT} for each in labels)


def test_the_columns_that_classes_do_not_determine_are_orthonormal_to_the_others() -> None:
    rng = np.random.default_rng(0)
    means = [[torch.tensor(rng.normal(size=(classes, width))) for width in (7, 9)] for classes in (2, 3)]
    generators = [torch.Generator().manual_seed(seed) for seed in (0, 1)]
    maps = block_maps(means, {"a": 3, "b": 4}, True, generators)
    for site, each in enumerate(maps):
        torch.testing.assert_close(each.frame.mT @ each.frame, torch.eye(7), atol=1e-5, rtol=0)
        assert each.blocks == {"a": range(3), "b": range(3, 7)}
        difference = (means[0][site][0] - means[0][site][1]).float()
        first = each.block("a").frame[:, :1]
        assert float((first.mT @ difference).abs() / difference.norm()) > 0.75  # nearest, beside two of the other


@pytest.mark.parametrize("stepwise", [False, True])
def test_each_row_of_a_batch_swaps_its_block(stepwise: bool) -> None:
    data, _, given = user_data(split=["train"] * 54 + ["validation", "test"] * 3)
    width = 16
    if stepwise:
        data, width = equality_data(Equality(), rows=60), 12
    rows, names = data.rows(request(stepwise), data_context(data))[Direction(0, 0)], data.variables.names
    generators = [torch.Generator().manual_seed(seed) for seed in (0, 1)]
    blocks = {names[0]: range(2), names[1]: range(2, 5)}
    target, source = (
        AlignmentMap(random_frame(width, 5, each), scale, blocks=blocks)
        for each, scale in zip(generators, (2.0, 0.5), strict=True)
    )
    batch = rows.take(torch.arange(len(rows)))
    swapped = intervene(interchange, batch, target, source)
    assert batch.variable is not None
    for row, variable in enumerate(batch.variable.tolist()):
        columns = list(blocks.values())[variable]
        v_t, v_s = (each.frame[:, columns.start : columns.stop] for each in (target, source))
        h_t, h_s = batch.target_states[row], batch.source_states[row]
        expected = h_t + (0.25 * (h_s @ v_s) - h_t @ v_t) @ v_t.mT
        torch.testing.assert_close(swapped[row], expected, atol=1e-5, rtol=1e-5)
    if not stepwise:
        assert [NAMES[each] for each in batch.variable] == given["variables"][:54]


def request(stepwise: bool = False, split: str = "train") -> RowRequest:
    return RowRequest(split, (Direction(0, 0),), stepwise)


def data_context(data: ca.Counterfactuals) -> RunContext:
    return RunContext(0, data.store)


def test_every_scored_row_is_a_hooked_run_of_the_plain_module() -> None:
    data, module, given = user_data()
    found = ca.align(data, method="das", rank={"color": 3, "size": 2}, search=QUICK)
    assert found.maps[0].blocks == {"size": range(2), "color": range(2, 5)}
    rows = found.score_rows(data, ["iia", "probability"]).merge(found.rows, on=["row", "variable"])
    assert len(rows) == data.counts["test"]
    assert set(rows["variable"]) == set(NAMES)
    for each in rows.to_dict("records"):
        row, name = each["row"], given["variables"][each["row"]]
        assert each["variable"] == name
        at = found.maps[0].blocks[name]
        frame = found.maps[0].frame[:, at.start : at.stop]
        state = state_at_rnn(module, given["source_inputs"][row][: given["source_positions"][row] + 1])
        label, target = given["labels"][row], given["target_inputs"][row]
        fed = [known if known != -100 else read for known, read in zip(label, given["continuations"][row], strict=True)]
        whole, place = target + fed[:-1], given["target_positions"][row]
        logits = swapped_logits(module, "rnn", whole, place, state, frame @ frame.mT)[len(target) - 1 :]
        scored = [step for step, known in enumerate(label) if known != -100]
        right = all(int(logits[step].argmax()) == label[step] for step in scored)
        chance = np.prod([float(logits[step].softmax(-1)[label[step]]) for step in scored])
        assert each["correct"] == right == bool(each["iia"])
        assert each["probability"] == pytest.approx(chance, rel=1e-4)
    name, source, target = "color", [3, 1, 4], [9, 2, 6]
    frame = found.block(name)[0].frame
    expected = swapped_logits(module, "rnn", target, 2, state_at_rnn(module, source), frame @ frame.mT)[-1]
    torch.testing.assert_close(found.swap(source, target, variable=name).logits, expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(
        found.swap(source, target, variable=name).no_swap_logits, plain_logits(module, target)[-1]
    )
    for wrong, message in ((None, "a block for each of size, color: name one"), ("colour", "did you mean 'color'")):
        with pytest.raises(ca.InvalidArgument, match=message):
            found.swap(source, target, variable=wrong)
        with pytest.raises(ca.InvalidArgument, match=message):
            found.to_pyvene(0, wrong)


def state_at_rnn(module: Any, tokens: list[int]) -> torch.Tensor:
    return (
        state_at(module, "embedding", tokens, 0) * 0
        if not tokens
        else module.rnn(module.embedding(torch.tensor([tokens])))[1][0, 0].detach()
    )


def test_latents_of_a_row_are_of_its_variable_and_value() -> None:
    data, module, given = user_data(split=["train"] * 54 + ["validation", "test"] * 3)
    wanted = dataclasses.replace(request(), latents=frozenset([Direction(0, 0)]))
    rows = data.rows(wanted, data_context(data))[Direction(0, 0)]
    batch = rows.take(torch.arange(54))
    assert batch.latents is not None
    states = {
        (given["variables"][row], given["values"][row], tuple(np.round(state_of(module, given, row), 4)))
        for row in range(54)
    }
    for row in range(54):
        latent = tuple(np.round(batch.latents[row].numpy(), 4))
        assert (given["variables"][row], given["values"][row], latent) in states


def state_of(module: Any, given: dict[str, Any], row: int) -> np.ndarray:
    tokens = given["source_inputs"][row][: given["source_positions"][row] + 1]
    return np.asarray(state_at_rnn(module, tokens).numpy())


def test_a_saved_alignment_knows_whose_the_columns_are(
    equal: tuple[Equality, ca.Counterfactuals, ca.Alignment], tmp_path: Path
) -> None:
    module, data, found = equal
    folder = found.save(tmp_path / "saved")
    again = ca.load_alignment(folder).with_sites(data.sites)
    assert repr(again.maps[0]) == repr(found.maps[0])
    assert f"{data.variables.names[0]} " in repr(again.maps[0])
    assert again.rows.equals(found.rows)
    assert again.record == found.record
    assert again.record.config.rank == ca.Blocks({LEFT: 1, RIGHT: 2})
    pd.testing.assert_frame_equal(again.score(data), found.iia)
    ids = [1, 1, 2, 3], [1, 4, 2, 2]
    assert again.swap(*ids, variable=LEFT).top(1)["id"].item() == 7  # left becomes equal, as right is
    assert again.swap(*ids, variable=RIGHT).top(1)["id"].item() == 7  # right becomes unequal, as left is
    backward = equality_data(module, variables=[*reversed(equality_rows(ROWS, 0)["variables"])])
    assert set(again.score(backward)["variable"]) == {LEFT, RIGHT}
    record = json.loads((folder / "result.json").read_text())
    assert list(record["blocks"]) == list(data.variables.names)
    record["blocks"] = dict(reversed(record["blocks"].items()))
    (folder / "result.json").write_text(json.dumps(record))
    with pytest.raises(ca.FileFormatError, match=r"maps.safetensors is not of the alignment in result.json"):
        ca.load_alignment(folder)


def test_rows_of_one_variable_are_scored_with_its_block(
    equal: tuple[Equality, ca.Counterfactuals, ca.Alignment],
) -> None:
    module, _, found = equal
    given = equality_rows(600, 3)
    chosen = [row for row, name in enumerate(given["variables"]) if name == RIGHT]
    only: dict[str, Any] = {name: [column[row] for row in chosen] for name, column in given.items()}
    site = ca.Site(module, "hidden", name="equality/0")
    scores = found.score(ca.Counterfactuals.from_arrays(site, **only))
    assert scores["variable"].tolist() == [RIGHT]
    assert scores["iia"].tolist() == [1.0]
    whole = AlignmentMap(found.maps[0].frame, 1.0)
    assert AlignmentMap(whole.frame, 1.0, blocks={"right": range(3)}).row_blocks(None).mask is None
    del only["variables"]
    with pytest.raises(ca.InvalidArgument, match="unknown variable of the blocks 'full'; known: "):
        found.score(ca.Counterfactuals.from_arrays(site, **only))


def test_controls_are_scored_by_variable(equal: tuple[Equality, ca.Counterfactuals, ca.Alignment]) -> None:
    _, data, _ = equal
    found = ca.align(data, method="das", rank={LEFT: 1, RIGHT: 1}, search=SEARCH.replace(max_steps=20), controls=True)
    of_shuffled = found.controls[found.controls["control"] == "shuffled"]
    assert of_shuffled["variable"].tolist() == found.iia["variable"].tolist()
    assert found.worst_iia == 1
    assert found.worst_controls["random"] < 0.9
    assert found.worst_controls["shuffled"] < 0.7
    plain, shuffled = (each.rows(request(), data_context(data))[Direction(0, 0)] for each in (data, data.shuffled(0)))
    for index in plain.by_variable().values():  # of each variable, the same labels in another order
        assert not torch.equal(plain.tokens[index], shuffled.tokens[index])
        assert torch.equal(plain.tokens[index].sort(dim=0).values, shuffled.tokens[index].sort(dim=0).values)


def test_a_table_keeps_the_rows_of_all_its_variables_or_of_one() -> None:
    site = ca.Site(seeded(Recurrent), "rnn")
    rng = np.random.default_rng(0)
    table: dict[str, Any] = {end: [rng.integers(0, 24, 4).tolist() for _ in range(60)] for end in ("source", "target")}
    table |= {"label": rng.integers(0, 24, 60).tolist(), "about": ["color", "shape", "color"] * 20}
    data = ca.Counterfactuals.from_table(table, site, variable_column="about")
    assert data.variables.names == ("color", "shape")
    assert repr(data).startswith("Counterfactuals(color, shape of ")
    assert sum(data.counts.values()) == 60
    found = ca.align(data, method="das", rank={"color": 2, "shape": 1}, search=QUICK)
    assert found.rows["variable"].tolist() == [table["about"][row] for row in found.rows["row"]]
    assert ca.estimate(data, method="das", rank={"color": 2, "shape": 1}, search=QUICK).tables > 0
    one = ca.Counterfactuals.from_table(table, site, variable="shape", variable_column="about")
    assert (one.variables.names, sum(one.counts.values())) == (("shape",), 20)
    table["about"][7] = None
    with pytest.raises(ca.InvalidArgument, match="row 7: the column 'about' names no variable; found None"):
        ca.Counterfactuals.from_table(table, site, variable_column="about")


def test_several_variables_are_drawn_from_a_task_in_equal_number(
    tiny_pair: tuple[ca.networks.GRU, ca.networks.GRU],
) -> None:
    sites = [network.site("hidden") for network in tiny_pair]
    sizes: dict[str, Any] = {"n_train": 40, "n_validation": 20, "n_test": 30}
    data = ca.Counterfactuals.from_task(sites, variables=["phase", "count"], **sizes)
    into = Direction(0, 1)
    rows = data.rows(RowRequest("train", (into,)), data_context(data))[into]
    assert {name: len(index) for name, index in rows.by_variable().items()} == {0: 20, 1: 20}
    of_source, of_target, after = values(rows, "source"), values(rows, "target"), dict(rows.columns.group("value of "))
    for index, name in enumerate(("phase", "count")):
        for row in rows.by_variable()[index].tolist():
            for each in ("phase", "count"):
                end = of_source if each == name else of_target
                assert after[each][row] == end[each][row]
    found = ca.align(sites, rank={"phase": 2, "count": 3}, search=QUICK, **sizes)
    assert found.record.variable == "phase, count"
    assert found.record.sites[0].variables == ("phase", "count")
    assert found.record.data == data.fingerprint
    assert [len(part) for _, part in found.rows.groupby("variable")] == [4 * 15] * 2
    assert len(found.score(sites, n_test=20)) == 8
    latent = ca.align(data, method=ca.MAS(latent_weight=1.0), rank={"phase": 2, "count": 3}, search=QUICK)
    assert len(latent.iia) == 8
    with pytest.raises(ca.InvalidArgument, match="n_test must be a whole number, at least 2, the number of variables"):
        ca.Counterfactuals.from_task(sites, variables=["phase", "count"], n_test=1)


def values(rows: CounterfactualRows, end: str) -> dict[str, np.ndarray]:
    """The values of a task's variables in the states of one end of each row."""
    read, at = (rows.source, "source_rows") if end == "source" else (rows.target, "target_rows")
    of, position = np.divmod(read.keys[rows.columns[at].numpy()], read.time)
    return {name: np.asarray(each) for name, each in read.values_at(of, position).items()}


@pytest.mark.parametrize(
    ("rank", "expected"),
    [
        ({"answer": 8, "carry": 4}, ca.Blocks({"answer": 8, "carry": 4})),
        ({"blocks": {"tolerance": 8}}, ca.Blocks({"tolerance": 8})),
        ("answer=8, carry=4", ca.Blocks({"answer": 8, "carry": 4})),
        ("count[1..10]=np", None),
        ({"blocks": 3}, ca.Blocks({"blocks": 3})),
        (16, FixedRank(16)),
        ("16,32", BestRank([16, 32])),
        ({"candidates": [4, 8]}, BestRank([4, 8])),
        ({"tolerance": 0.1}, SmallestRank(0.1)),
    ],
)
def test_a_rank_is_read_in_every_form(rank: Any, expected: Any) -> None:
    if expected is None:
        with pytest.raises(ca.InvalidArgument, match="a rank for each variable is written as answer=8,carry=4"):
            rank_selection_of(rank)
        return
    assert rank_selection_of(rank) == expected
    assert rank_selection_of(rank_selection_of(rank).declaration) == expected
    spec = AlignmentSpec.read({"sites": ["zoo:multi-object/gru/0@hidden"], "rank": rank}, "a.toml")
    assert AlignmentSpec.model_validate_json(spec.model_dump_json()).rank == expected


@pytest.mark.parametrize(
    ("rank", "message"),
    [
        (16, r"the dataset has the variables size, color, and each needs a rank of its own, such as rank=\{'size': 8"),
        ("auto", r"and each needs a rank of its own, such as rank=\{'size': 8, 'color': 8\}; found rank = "),
        ([2, 4], "and each needs a rank of its own"),
        ({"size": 2}, "rank names size, and the dataset has color as well"),
        ({"size": 2, "colour": 3}, "unknown variable of rank 'colour'; did you mean 'color'"),
        (
            {"size": 9, "color": 8},
            r"the ranks of the blocks sum to 9 \(size\) \+ 8 \(color\) = 17, above the width, 16",
        ),
        ({"size": 2, "color": 0}, "the rank of 'color' must be a whole number, at least 1; found 0"),
        ({"size": 2, "color": "x"}, "the rank of 'color' must be a whole number, at least 1; found 'x'"),
        ({}, "unknown parameter of rank"),
    ],
)
def test_ranks_that_do_not_fit_the_variables_are_refused(rank: Any, message: str) -> None:
    data, _, _ = user_data()
    with pytest.raises(ca.InvalidArgument, match=message):
        ca.align(data, method="das", rank=rank, search=QUICK)


def test_what_several_variables_cannot_do_is_refused() -> None:
    data, module, given = user_data()
    both = {"size": 2, "color": 2}
    site = ca.Site(module, "rnn")
    pair = ca.Counterfactuals.from_arrays([site, site], **given)
    for method in ("stitch", "procrustes"):
        with pytest.raises(ca.InvalidArgument, match=f"{method} changes the target's state outside the block"):
            ca.align(pair, method=method, rank=both, search=QUICK)
    with pytest.raises(ca.InvalidArgument, match="a paired start of das does not tell variables apart"):
        ca.align(data, method="das", rank=both, start="paired", search=QUICK)
    with pytest.raises(ca.InvalidArgument, match="variable = 'x' and variables are both given"):
        ca.Counterfactuals.from_arrays(site, **given, variable="x")
    with pytest.raises(ca.InvalidArgument, match="found 60 source_inputs, .*59 variables"):
        ca.Counterfactuals.from_arrays(site, **given | {"variables": given["variables"][1:]})
    with pytest.raises(ca.InvalidArgument, match="row 1: a variable is a name; found ''"):
        ca.Counterfactuals.from_arrays(site, **given | {"variables": ["size", ""] * 30})
    split = ["test" if name == "size" and row % 2 else "train" for row, name in enumerate(given["variables"])]
    split[:2] = ["validation"] * 2
    with pytest.raises(ca.InvalidArgument, match="the split test has no rows of the variable 'color'"):
        ca.Counterfactuals.from_arrays(site, **given, split=split)
    plain = ca.Counterfactuals.from_arrays(site, **arrays())
    with pytest.raises(ca.InvalidArgument, match="the maps are of one variable, full, and the dataset has size, color"):
        ca.align(plain, method="das", rank=2, search=QUICK).score(data)
    with pytest.raises(ca.InvalidArgument, match="the map has no blocks, and the rows have several variables"):
        AlignmentMap(torch.eye(16)[:, :2], 1.0).row_blocks(torch.tensor([0, 1]))
    with pytest.raises(
        ca.InvalidArgument, match="variables must be one or several different names; found count, count"
    ):
        ca.Counterfactuals.from_task(ca.zoo.load("multi-object/gru").site("hidden"), variables=["count", "count"])


def test_one_class_of_a_variable_makes_the_start_random() -> None:
    data, _, given = user_data()
    alike = [0 if name == "color" else value for name, value in zip(given["variables"], given["values"], strict=True)]
    data, _, _ = user_data(values=alike)
    found = ca.align(data, method="das", rank={"size": 2, "color": 2}, search=QUICK)
    assert found.record.start == "random"
    assert any("all training rows of 'color' have the same one" in note for note in found.record.notes)


def test_the_command_line_takes_a_rank_for_each_variable(run: Run, tmp_path: Path) -> None:
    few = ("--n-train", 60, "--n-validation", 20, "--n-test", 20, "--max-steps", 1, "--batch-size", 8)
    place = ("--site", "zoo:multi-object/gru/0@hidden", "--method", "das", "--out", tmp_path / "a")
    code, out, err = run("align", *place, "--rank", "phase=2,count=3", *few)
    assert code == 0, err
    assert "phase" in out
    assert "count" in out
    found = ca.load_alignment(tmp_path / "a")
    assert found.record.blocks == {"phase": 2, "count": 3}
    assert any("(phase): an IIA of" in each or "(count): an IIA of" in each for each in found.caveats)
    code, _, err = run("report", tmp_path / "a")
    assert code == 0, err
    assert (tmp_path / "a" / "iia.png").exists()
    spec = tmp_path / "a.toml"
    spec.write_text('sites = ["zoo:multi-object/gru/0@hidden"]\nmethod = "das"\n[rank]\nphase = 2\ncoun = 3\n')
    code, _, err = run("align", "--spec", spec, "--out", tmp_path / "b", *few)
    assert code == 2
    assert len(err.strip().splitlines()) == 1
    assert "'coun'" in err
