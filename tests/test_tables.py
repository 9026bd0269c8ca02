"""Tables in every form that is documented, and what cannot be read of them in one line."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

import causalign as ca
from causalign.counterfactuals.from_table import Table
from causalign.sites.base import Site

VOCABULARY, COUNTS = 30, {"train": 20, "validation": 5, "test": 6}


class Words:
    """A tokenizer of numbers between spaces."""

    def __call__(self, text: str, add_special_tokens: bool = True, **_: Any) -> dict[str, list[int]]:
        assert add_special_tokens in (True, False)
        return {"input_ids": [int(word) for word in text.split()]}


class Reader(nn.Module):
    """A module with logits at every position, of ids or of one-hot rows."""

    def __init__(self, ids: bool) -> None:
        super().__init__()
        self.first: nn.Module = nn.Embedding(VOCABULARY, 8) if ids else nn.Linear(4, 8)
        self.hidden, self.head = nn.Linear(8, 8), nn.Linear(8, VOCABULARY)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(torch.tanh(self.hidden(self.first(x))))
        return logits


@pytest.fixture(scope="module")
def site() -> Site:
    torch.manual_seed(0)
    found: Site = ca.Site(Reader(ids=True).eval(), "hidden", tokenizer=Words())
    return found


def rows(count: int) -> list[dict[str, Any]]:
    rng = np.random.default_rng(count)
    ids = rng.integers(0, VOCABULARY, (count, 2, 4))
    text = [[" ".join(map(str, row)) for row in pair] for pair in ids]
    return [{"source": one, "target": two, "label": str(rng.integers(VOCABULARY))} for one, two in text]


@pytest.mark.parametrize("form", ["rows", "frames", "csv", "jsonl"])
def test_a_table_for_each_split_has_any_form_of_a_table(form: str, site: Site, tmp_path: Path) -> None:
    three: dict[str, Any] = {split: rows(count) for split, count in COUNTS.items()}
    whole = [row for part in three.values() for row in part]
    split_of_rows = [split for split, count in COUNTS.items() for _ in range(count)]
    expected = ca.Counterfactuals.from_table(whole, site, split=split_of_rows)
    if form != "rows":
        three = {split: pd.DataFrame(part) for split, part in three.items()}
    for split, part in three.items() if form in ("csv", "jsonl") else ():
        path = tmp_path / f"{split}.{form}"
        if form == "csv":
            part.to_csv(path, index=False)
        else:
            part.to_json(path, orient="records", lines=True)
        three[split] = str(path)
    found = ca.Counterfactuals.from_table(three, site)
    assert found.counts == COUNTS
    assert found.fingerprint == expected.fingerprint


def test_a_file_of_text_may_hold_the_positions_of_labels(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 24}
    model = transformers.BertForMaskedLM(transformers.BertConfig(vocab_size=VOCABULARY, **sizes)).eval()
    frame = pd.DataFrame(rows(30)).assign(where=[1, 2, 3] * 10)
    frame[["source", "target"]] = frame[["source", "target"]].map(lambda text: text.replace("0", "1"))
    frame.to_csv(tmp_path / "table.csv", index=False)
    site = ca.Site(model, "bert.encoder.layer.0", tokenizer=Words())
    found = [
        ca.Counterfactuals.from_table(table, site, label_position="where") for table in (frame, tmp_path / "table.csv")
    ]
    assert found[0].fingerprint == found[1].fingerprint


@pytest.mark.parametrize("column", ["source", "target"])
def test_a_column_does_not_take_the_place_of_the_prompts_of_causalab(column: str) -> None:
    table = {"input": ["a"] * 3, "counterfactual_inputs": [["b"]] * 3, "label": ["c"] * 3, column: ["Wikipedia"] * 3}
    with pytest.raises(ca.InvalidArgument, match=f"a column '{column}'"):
        Table.of(table)
    del table[column]
    assert Table.of(table | {"label_forms": [["c"], None, ["d"]]}).columns["source"] == ["b"] * 3


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([{1, "a"}] * 20, "row 0: a label that is a set must hold one or more ids"),
        ([], "labels must have one entry for each row, found an empty list"),
    ],
)
def test_labels_that_cannot_be_are_refused_in_one_line(labels: list[Any], message: str, site: Site) -> None:
    ids = np.random.default_rng(0).integers(0, VOCABULARY, (2, 20, 4))
    with pytest.raises(ca.InvalidArgument, match=message):
        ca.Counterfactuals.from_arrays(site, source_inputs=ids[0], target_inputs=ids[1], labels=labels)


def test_values_of_a_table_may_be_settings(site: Site) -> None:
    table = [{**row, "number": n % 2, "setting": {"count": n % 2, "at": [n % 2]}} for n, row in enumerate(rows(20))]
    found = [ca.Counterfactuals.from_table(table, site, value=value).fingerprint for value in ("number", "setting")]
    assert found[0] == found[1]


UNTYPED = """
import numpy as np, torch
import causalign as ca
from causalign.counterfactuals.splits import split_of_kept, split_rows

network = torch.nn.Sequential(torch.nn.Embedding(9, 4), torch.nn.Tanh(), torch.nn.Linear(4, 9)).eval()
site, ids = ca.Site(network, "1"), np.arange(40).reshape(10, 4) % 9
arrays = {"source_inputs": ids, "target_inputs": ids[::-1].copy(), "labels": [1, 2] * 5}
weights = np.ones((4, 6), dtype=np.float32)
split = split_of_kept(["train", None, "test", "validation"], np.array([0, 2, 3]))
assert split == ["train", "test", "validation"], split
for call in (
    lambda: ca.Counterfactuals.from_arrays(site, values=3, **arrays),
    lambda: ca.Counterfactuals.from_arrays(site, variables=5, **arrays),
    lambda: ca.Features(weights, weights.T),
):
    try:
        call()
    except ca.InvalidArgument as error:
        print(error)
"""


def test_arguments_of_other_types_are_refused_in_one_line() -> None:
    """The checks of types in these tests would find them first: a process of its own has none."""
    found = subprocess.run([sys.executable, "-c", UNTYPED], capture_output=True, text=True, check=False)
    assert found.stdout.splitlines() == [
        "values has the value of the variable in each row; found 3",
        "variables has the name of the variable of each row; found 5",
        "the encoder of features is a tensor; found ndarray",
    ], found.stderr
