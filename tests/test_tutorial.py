"""The tutorial runs from its first cell to its figure."""

from pathlib import Path
from typing import Any

import nbformat
import pytest

TUTORIAL = Path(__file__).parent.parent / "docs" / "recordings-tutorial.ipynb"
FEWER = ("stratified(brain.task, 30,", "stratified(brain.task, 6,")
"""Writing a million spikes takes most of the time: the tests have a fifth of the trials."""


def test_the_tutorial_goes_from_a_file_to_a_figure(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    cells = [cell.source for cell in nbformat.read(TUTORIAL, as_version=4).cells if cell.cell_type == "code"]
    assert FEWER[0] in cells[0]
    for cell in cells:
        exec(cell.replace(*FEWER), names)
    assert Path("recording.png").stat().st_size > 10_000
    iia = names["causal"].set_index("control")["value"]
    assert iia["none"] > 2 * iia["shuffled variables"]
    assert names["alignment"].caveats
