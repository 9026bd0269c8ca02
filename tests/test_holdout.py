"""Held-out values: which rows and starts lack them, how they are scored, and what is refused."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import causalign as ca
from causalign.alignment.table_spec import TableSpec
from causalign.cli.tables import console, show_alignment
from causalign.counterfactuals.direction import Direction
from causalign.counterfactuals.holdout import Holdout
from causalign.counterfactuals.row_source import SPLITS, RowRequest
from causalign.counterfactuals.rows import CounterfactualRows
from causalign.counterfactuals.variables import Variables
from causalign.report.page import write_report
from causalign.run_context import RunContext
from naive_swap import state_at, swapped_logits
from naive_tasks import Counting as NaiveCounting
from test_counterfactuals import KINDS, QUICK, arrays
from test_interchange import Transparent, prefix

Pair = tuple[ca.networks.GRU, ca.networks.GRU]
HELD = [4, 9, 14, 17]
NOTHING: tuple[list[int] | None, ...] = (None, [])
SIZES: dict[str, Any] = {"n_train": 300, "n_validation": 60, "n_test": 60}


def rows_of(data: ca.Counterfactuals, split: str) -> CounterfactualRows:
    request = RowRequest(split, (Direction(0, 0),))
    return data.rows(request, RunContext(0, data.store))[Direction(0, 0)]


@pytest.mark.parametrize("how", [{"variable": "count", "holdout_values": HELD}, {"holdout_values": {"count": HELD}}])
def test_no_row_but_those_of_the_holdout_has_a_held_out_value(how: dict[str, Any]) -> None:
    data, naive = ca.Counterfactuals.from_task(Transparent(), **how, **SIZES), NaiveCounting("multi-object")
    assert data.holdout == 60
    for split in (*SPLITS, "holdout"):
        rows = rows_of(data, split)
        assert len(rows) == (300 if split == "train" else 60)
        counts = [
            tuple(naive.variables(prefix(state))[-1]["count"] for state in ends)
            for ends in zip(rows.source_states, rows.target_states, strict=True)
        ]
        held = [tuple(count in HELD for count in ends) for ends in counts]
        if split == "holdout":
            assert all(source for source, _ in held)
            assert {target for _, target in held} == {True, False}
            assert {source for source, _ in counts} == set(HELD)
        else:
            assert not any(source or target for source, target in held)
            assert len({source for source, _ in counts}) > 10


def test_the_closed_form_start_has_no_mean_of_a_held_out_value() -> None:
    site, naive = Transparent(), NaiveCounting("multi-object")
    data = ca.Counterfactuals.from_task(site, variable="count", holdout_values=HELD, **SIZES)
    (means,) = data.class_means(False, RunContext(0, data.store))
    (whole,) = ca.Counterfactuals.from_task(site, variable="count", **SIZES).class_means(False, RunContext(0))
    assert len(whole) - len(means) == len(HELD)
    states = rows_of(data, "train").source.sampled.double()
    counts = np.array([naive.variables(prefix(state.float()))[-1]["count"] for state in states])
    expected = [states[counts == count].mean(0) for count in np.unique(counts) if count not in HELD]
    torch.testing.assert_close(means, torch.stack(expected))


def test_rows_without_a_holdout_stay_as_they_were(tiny_pair: Pair) -> None:
    site = tiny_pair[0].site("hidden")
    plain, empty = (ca.Counterfactuals.from_task(site, holdout_values=held, **SIZES) for held in NOTHING)
    assert plain.fingerprint == empty.fingerprint
    held = ca.Counterfactuals.from_task(site, holdout_values={"count": [4]}, **SIZES)
    assert held.fingerprint != plain.fingerprint
    assert plain.holdout == 0


def test_held_out_values_are_scored_by_themselves(zoo_pair: Pair, tmp_path: Path) -> None:
    sites = [network.site("hidden") for network in zoo_pair]
    search = ca.SearchConfig(max_steps=40)
    found = ca.align(sites, holdout_values={"count": HELD}, rank=16, n_train=2000, n_test=200, search=search)
    assert found.holdout[["source", "target"]].equals(found.iia[["source", "target"]])
    assert found.holdout["rows"].tolist() == [200] * 4
    assert found.holdout["iia"].min() > 0.9 > 0.2 > found.holdout["no_swap"].max()
    assert found.holdout["complement"].isna().all()
    assert any("The values 4, 9, 14, 17 of count were held out" in note for note in found.record.notes)
    loaded = ca.load_alignment(found.save(tmp_path))
    pd.testing.assert_frame_equal(loaded.holdout, found.holdout)
    with console.capture() as captured:
        show_alignment(loaded)
    assert f"Held-out values: {found.holdout['iia'].min():.3f}" in captured.get()
    assert "Held-out values: rows whose value no other row has" in write_report(tmp_path).read_text()
    assert "Held-out values" in found._repr_html_()


def test_rows_of_your_own_are_held_out_by_their_value() -> None:
    site, module = KINDS["residual stream of a Llama"].site()
    given, path = arrays(), KINDS["residual stream of a Llama"].path
    data = ca.Counterfactuals.from_arrays(site, **given, holdout_values=[2])
    values = np.array(given["values"])
    assert sorted(data.index("holdout")) == np.flatnonzero(values == 2).tolist()
    for split in SPLITS:
        assert 2 not in values[data.index(split)]
    assert data.holdout == (values == 2).sum()
    assert any("rows with the values 2 were held out" in note for note in data.notes)
    found = ca.align(data, method="das", rank=3, search=QUICK)
    frame = found.maps[0].frame
    right = []
    for row in data.index("holdout"):
        source, s, target, t, label, fed = (
            given[name][row]
            for name in (
                "source_inputs",
                "source_positions",
                "target_inputs",
                "target_positions",
                "labels",
                "continuations",
            )
        )
        state = state_at(module, path, source, s)
        logits = swapped_logits(module, path, target + fed, t, state, frame @ frame.mT)
        written = logits.argmax(-1)[len(target) - 1 : -1].tolist()
        right.append(all(token in (-100, own) for token, own in zip(label, written, strict=True)))
    assert found.holdout["iia"].item() == np.mean(right)
    assert found.holdout["rows"].item() == len(right)
    other = ca.Counterfactuals.from_arrays(site, **given)
    assert (other.holdout, data.with_counts({"train": 5, "validation": 5, "test": 5}).holdout) == (0, 0)
    assert other.fingerprint != data.fingerprint


def table(**changes: Any) -> Any:
    given = arrays()
    columns = {end: given[f"{end}_inputs"] for end in ("source", "target")}
    return {**columns, "label": given["values"], "color": given["values"], **changes}


WRONG: list[tuple[Callable[[ca.Site], Any], str]] = [
    (
        lambda site: draw(site, variable="count", holdout_values=[44]),
        "has 44, which count of .* never has; there are 0",
    ),
    (lambda site: draw(site, variable="count[1..3]", holdout_values=[4]), "which count.* never has; there are 1, 2, 3"),
    (lambda site: draw(site, variable="phase", holdout_values=[0, 1]), "leave no value for training rows"),
    (lambda site: draw(site, holdout_values=[4]), "full stands for phase, count: name the one .*'count'"),
    (lambda site: draw(site, variable="count", holdout_values={"phase": [0]}), "of 'phase', which is not swapped"),
    (lambda site: draw(site, variable="count", holdout_values=[True]), "whole numbers, found"),
    (
        lambda site: Holdout.checked(4, Variables.alike(["count"], 1), [site]),
        r"several values, such as \[4, 9\]; found 4",
    ),
    (lambda site: draw(site, variables=["phase", "count"], holdout_values=[4]), "of one variable, and phase, count"),
    (lambda site: own(holdout_values=[9]), "has 9, which the rows never has"),
    (lambda site: own(holdout_values=[0, 1, 2, 3]), "leave no value for training rows"),
    (lambda site: own(holdout_values=[2], values=None), "need the value of the variable in each row"),
    (lambda site: own(holdout_values=[0, 1, 2], split=by_value()), "leave no rows in the split validation"),
    (
        lambda site: ca.Counterfactuals.from_table(table(), KINDS["a user's GRU"].site()[0], holdout_values=[2]),
        "need the column of the variable's value",
    ),
]


def draw(site: ca.Site, **how: Any) -> ca.Counterfactuals:
    return ca.Counterfactuals.from_task(site, **how, **SIZES)


def own(**changes: Any) -> ca.Counterfactuals:
    return ca.Counterfactuals.from_arrays(KINDS["a user's GRU"].site()[0], **arrays() | changes)


def by_value() -> list[str]:
    return [
        "train" if value == 3 else "validation" if row % 2 else "test" for row, value in enumerate(arrays()["values"])
    ]


@pytest.mark.parametrize("wrong", WRONG, ids=lambda pair: pair[1])
def test_a_wrong_holdout_is_refused(wrong: tuple[Callable[[ca.Site], Any], str], tiny_pair: Pair) -> None:
    make, message = wrong
    with pytest.raises(ca.InvalidArgument, match=message):
        make(tiny_pair[0].site("hidden"))


def test_starts_and_swaps_that_hold_nothing_out_are_refused(tiny_pair: Pair) -> None:
    how: dict[str, Any] = {"variable": "count", "holdout_values": [4], "rank": 2, "search": QUICK} | SIZES
    with pytest.raises(ca.InvalidArgument, match="paired start .* take the closed-form or the random start"):
        ca.align(tiny_pair[0].site("hidden"), method="das", start="paired", **how)
    with pytest.raises(ca.InvalidArgument, match="values of holdout_values occur: swap single states"):
        ca.align(tiny_pair[0].site("embedding"), method="das-stepwise", **how)


def test_a_table_has_held_out_entries_of_its_column(tmp_path: Path) -> None:
    site, _ = KINDS["a user's GRU"].site()
    held: list[int] = np.flatnonzero(np.array(arrays()["values"]) % 2).tolist()
    data = ca.Counterfactuals.from_table(table(), site, value="color", holdout_values=[1, 3])
    assert sorted(data.index("holdout")) == held
    path = tmp_path / "rows.json"
    path.write_text(json.dumps(table()))
    spec = TableSpec(table=str(path), value="color", holdout_values=(1, 3))
    assert sorted(spec.dataset([site], 0, None).index("holdout")) == held


def test_the_command_line_holds_values_out(run: Callable[..., tuple[int, str, str]], tmp_path: Path) -> None:
    sizes = [f"--{name.replace('_', '-')}={size}" for name, size in SIZES.items()]
    network = "zoo:multi-object/gru/0@hidden"
    code, out, _ = run(
        *("align", "--site", network, "--method", "das", "--rank", "4", "--max-steps", "2", "--out", tmp_path / "x"),
        *("--holdout-values", "{count = [4, 9]}", *sizes),
    )
    assert code == 0
    assert "Held-out values: " in out
    assert ca.load_alignment(tmp_path / "x").record.config.holdout_values == {"count": (4, 9)}
