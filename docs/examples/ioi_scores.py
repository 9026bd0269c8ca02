"""Run the first example of docs/own-data.md and write its table there: `python docs/examples/ioi_scores.py`."""

import os
import re
import tempfile
from pathlib import Path
from typing import Any

import ioi
from page_part import write_part

PAGE = Path(__file__).parent.parent / "own-data.md"
BEGIN, END = "<!-- written by docs/examples/ioi_scores.py -->\n", "<!-- end -->"
HEADER = "| layer | IIA | 95 % interval | no swap |\n| --- | --- | --- | --- |\n"


def example() -> str:
    """Return the first block of Python of the page."""
    found = re.search(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert found is not None
    return found[1]


def run(folder: Path) -> dict[str, Any]:
    """Train the model and run the example in a folder, and return what the example has named."""
    ioi.main(folder / "runs/ioi")
    names: dict[str, Any] = {}
    before = Path.cwd()
    os.chdir(folder)
    try:
        exec(example(), names)
    finally:
        os.chdir(before)
    return names


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        scores = run(Path(temporary))["scores"]
    lines = [
        f"| {layer} | {each.iia:.3f} | {each.ci_low:.3f} to {each.ci_high:.3f} | {each.no_swap:.3f} |\n"
        for layer, each in scores.items()
    ]
    write_part(PAGE, (BEGIN, END), HEADER + "".join(lines))
