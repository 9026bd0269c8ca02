"""Counterfactual datasets in the form of causalab, written here by hand."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import causalign as ca
from causalign.counterfactuals.from_table import Table
from causalign.networks.hub import from_pretrained

LLAMA = ca.zoo.folder("in-context/llama")
WORDS = ["nut", "seed", "stop"]


def prompt(first: str, second: str) -> str:
    return f" {first} {second}:"


def text_rows(count: int = 30) -> list[dict[str, Any]]:
    """Rows as causalab writes them to JSON: the answer is the first word of the prompt."""
    rows = []
    for index in range(count):
        base, source = WORDS[index % 3], WORDS[(index // 3) % 3]
        rows.append(
            {
                "input": prompt(base, WORDS[index % 2]),
                "counterfactual_inputs": [prompt(source, WORDS[(index // 9) % 3])],
                "counterfactual_inputs_variables": [{"first": source, "made_at": "7"}],
                "first": base,
                "label": f" {source}",
                "label_forms": [f" {source}", f" {base}"],
                "base_answer": f" {base}",
                "cf_answer": f" {source}",
                "split": ("train", "train", "train", "validation", "test")[index % 5],
            }
        )
    return rows


def setting_rows(count: int = 30) -> list[dict[str, Any]]:
    """The same rows as settings of a causal model."""

    def setting(text: str, answer: str, first: str) -> dict[str, str]:
        return {"raw_input": text, "raw_output": answer, "first": first}

    return [
        {
            "input": setting(row["input"], row["base_answer"], row["first"]),
            "counterfactual_inputs": [
                setting(row["counterfactual_inputs"][0], row["cf_answer"], row["cf_answer"].strip())
            ],
            "label": {"raw_output": row["label"]},
        }
        for row in text_rows(count)
    ]


def by_hand() -> dict[str, list[str]]:
    """The columns that a user would write."""
    rows = text_rows()
    return {
        "source": [row["counterfactual_inputs"][0] for row in rows],
        "target": [row["input"] for row in rows],
        "label": [row["label"] for row in rows],
    }


def test_the_rows_are_those_written_by_hand(tmp_path: Path) -> None:
    site = from_pretrained(LLAMA).site("layer.1")
    expected = ca.Counterfactuals.from_table(by_hand(), site)
    file = tmp_path / "default.json"
    file.write_text(json.dumps(text_rows()))
    tables: list[Any] = [setting_rows(), pd.DataFrame(setting_rows())]
    for table in tables:
        assert ca.Counterfactuals.from_table(table, site).fingerprint == expected.fingerprint
    in_splits = by_hand() | {"split": [row["split"] for row in text_rows()]}
    split = ca.Counterfactuals.from_table(in_splits, site, split="split")
    for whole in (str(file), file, text_rows(), pd.DataFrame(text_rows())):
        assert ca.Counterfactuals.from_table(whole, site, split="split").fingerprint == split.fingerprint
    assert split.fingerprint != expected.fingerprint
    with pytest.warns(ca.DataWarning, match=r"column 'split' \(test, train, validation\) is not used: .*split='split'"):
        ca.Counterfactuals.from_table(file, site)


def test_variables_and_answers_are_columns() -> None:
    columns = Table.of(text_rows()).columns
    assert columns["source.first"][4] == "seed"
    assert columns["first"][4] == "seed"
    assert columns["label_forms"][1] == {" nut", " seed"}
    of_settings = Table.of(setting_rows()).columns
    assert of_settings["target.first"] == columns["first"]
    assert of_settings["source.first"] == columns["source.first"]
    for name in ("source", "target", "label", "base_answer", "cf_answer"):
        assert of_settings[name] == columns[name]
    site = from_pretrained(LLAMA).site("layer.1")
    data = ca.Counterfactuals.from_table(
        setting_rows(), site, label="cf_answer", value="source.first", no_swap_label="base_answer"
    )
    found = ca.align(data, method="das", rank=2, search=ca.SearchConfig(max_steps=1, batch_size=4))
    assert found.record.sites[0].accuracy is not None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"counterfactual_inputs": ["a", "b"]}, r"row 2: counterfactual_inputs holds one input, .*; found 2"),
        ({"counterfactual_inputs": "a"}, r"row 2: counterfactual_inputs holds one input, .*; found no list"),
        ({"counterfactual_inputs": []}, r"row 2: counterfactual_inputs holds one input, .*; found 0"),
        ({"input": {"first": "nut"}}, r"row 2: the setting in input has no raw_input; found first"),
    ],
)
def test_rows_that_are_no_pair_are_refused_by_number(change: dict[str, Any], message: str) -> None:
    rows = text_rows(5)
    rows[2] |= change
    with pytest.raises(ca.InvalidArgument, match=message):
        Table.of(rows)


def test_lists_of_rows_are_tables() -> None:
    assert Table.of([{"a": 1, "b": 2}, {"a": 3, "b": 4}]).columns == {"a": [1, 3], "b": [2, 4]}
    with pytest.raises(ca.InvalidArgument, match="row 1 lacks the column 'b', which another row has"):
        Table.of([{"a": 1, "b": 2}, {"a": 3}])
    with pytest.raises(ca.InvalidArgument, match="the table has no rows"):
        Table.of([])
    with pytest.raises(ca.InvalidArgument, match="or a list of rows; found int"):
        Table.of(3)


def test_the_shell_reads_them(tmp_path: Path, run: Callable[..., tuple[int, str, str]]) -> None:
    file, spec, out = tmp_path / "default.json", tmp_path / "spec.json", tmp_path / "out"
    file.write_text(json.dumps(text_rows()))
    data = {"table": str(file), "split": "split", "value": "source.first", "no_swap_label": "base_answer"}
    search = {"max_steps": 1, "batch_size": 4}
    sites = [f"hf:{LLAMA}@model.layers.0.mlp"]
    spec.write_text(json.dumps({"sites": sites, "data": data, "method": "das", "rank": 2, "search": search}))
    code, _, errors = run("align", "--spec", spec, "--out", out)
    assert not code, errors
    assert json.loads((out / "result.json").read_text())["rows"] == {"train": 18, "validation": 6, "test": 6}
