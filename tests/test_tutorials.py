"""The tutorials run from their first cell to their last, on less data than their pages show."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import nbformat
import pytest

DOCS = Path(__file__).parent.parent / "docs"
Names = Mapping[str, Any]
FEWER: Mapping[str, Mapping[str, str]] = {
    "two-networks-tutorial.ipynb": {
        "seed=0, controls=True)": "seed=0, controls=True, n_train=1000, n_test=300, search=QUICK)",
        "rank=[1, 2, 4, 8], seed=0": "rank=[1, 4], seed=0, n_train=500, n_test=200, search={'max_steps': 4}",
    },
    "language-model-tutorial.ipynb": {
        "range(700)": "range(250)",
        "size=2000": "size=600",
        '"seed": 0,\n': '"seed": 0,\n    "search": {"max_steps": 10},\n',
        'out="layers")': 'workers=1, out="layers")',
    },
    "digits-tutorial.ipynb": {"range(150)": "range(60)"},
    "recordings-tutorial.ipynb": {"stratified(brain.task, 30,": "stratified(brain.task, 6,"},
    "ray-tutorial.ipynb": {
        "in (1, 2, 3)": "in (1, 2)",
        "[1, 2, 4, 8]": "[1, 8]",
        '"min_delta": 0.01': '"max_steps": 10',
    },
}
"""What is replaced in the code: the tests search and train for fewer steps, on fewer rows."""


def two_networks(names: Names) -> None:
    assert names["alignment"].worst_iia > 0.9
    assert names["alignment"].verdict.answer == "interchangeable"
    assert [points.shape[1] for points in names["coordinates"]] == [16, 16]


def language_model(names: Names) -> None:
    assert names["found"].worst_iia > 0.9 > 0.1 > names["found"].iia["no_swap"].iloc[0]
    layers = names["sweep"].worst.set_index(["site_1", "rank"])["iia"]
    assert layers["hf:llama@layer.1", 8] < 0.5 < layers["hf:llama@layer.4", 8]
    assert Path("layers/report.html").exists()


def digits(names: Names) -> None:
    assert names["found"].worst_iia > 0.8
    assert names["found"].worst_controls["shuffled"] < 0.5


def recording(names: Names) -> None:
    assert Path("recording.png").stat().st_size > 10_000
    iia = names["causal"].set_index("control")["value"]
    assert iia["none"] > 2 * iia["shuffled variables"]
    assert names["alignment"].caveats


def ray(names: Names) -> None:
    assert names["sweep"].counts == names["again"].counts == {"finished": 4}
    scores = names["sweep"].worst.groupby("rank")["iia"].mean()
    assert scores[8] > scores[1] + 0.3


SHOWN: Mapping[str, Callable[[Names], None]] = {
    "two-networks-tutorial.ipynb": two_networks,
    "language-model-tutorial.ipynb": language_model,
    "digits-tutorial.ipynb": digits,
    "recordings-tutorial.ipynb": recording,
    "ray-tutorial.ipynb": ray,
}
"""What each tutorial says that its reader will see."""


def book(name: str) -> Any:
    return nbformat.read(DOCS / name, as_version=4)


def test_every_notebook_is_tested() -> None:
    assert {path.name for path in DOCS.glob("*.ipynb")} == set(FEWER) == set(SHOWN)


@pytest.mark.filterwarnings("ignore::causalign.errors.SearchWarning")
@pytest.mark.parametrize("name", SHOWN)
def test_a_tutorial_runs_from_its_first_cell_to_its_last(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "agg")
    cells = [cell.source for cell in book(name).cells if cell.cell_type == "code"]
    for before in FEWER[name]:
        assert any(before in cell for cell in cells), before
    names: dict[str, Any] = {"QUICK": {"min_delta": 0.05, "patience": 1, "batch_size": 128}}
    for cell in cells:
        for before, after in FEWER[name].items():
            cell = cell.replace(before, after)
        exec(compile(cell, name, "exec"), names)
    SHOWN[name](names)


@pytest.mark.parametrize("name", SHOWN)
def test_a_notebook_was_executed_in_order_and_keeps_what_it_showed(name: str) -> None:
    cells = [cell for cell in book(name).cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell.outputs]
    assert not [output for output in outputs if output.output_type == "error"]
    assert not re.search(r"object at 0x|Warning", "".join(str(output) for output in outputs))
