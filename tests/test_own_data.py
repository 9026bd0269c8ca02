"""The page about a user's own data: its code runs, and finds what its model was trained to do."""

import re
import sys
from importlib import import_module
from pathlib import Path

import pytest

pytest.importorskip("transformers")
DOCS = Path(__file__).parent.parent / "docs"


def test_the_indirect_object_is_at_the_last_word_from_the_second_layer_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(DOCS / "examples")
    monkeypatch.delitem(sys.modules, "ioi_scores", raising=False)
    ioi_scores = import_module("ioi_scores")
    lines = [line for line in ioi_scores.example().splitlines() if line.strip()]
    assert len(lines) <= 15
    names = ioi_scores.run(tmp_path)
    scores = {layer: each.iia for layer, each in names["scores"].items()}
    assert scores[1] < 0.3
    assert min(scores[3], scores[4]) > 0.95
    found = names["found"]
    assert found.record.sites[0].accuracy == 1
    assert found.caveats == []
    frame, top = names["frame"], found.swap(names["frame"].source[0], names["frame"].target[0]).top(1)
    assert top["token"].item() == frame.label[0] != frame.own_answer[0]
    blocks = re.findall(r"```python\n(.*?)```", (DOCS / "own-data.md").read_text(), re.DOTALL)
    for block in blocks[1:]:
        exec(block, names)
    assert "entropy_se" in capsys.readouterr().out
