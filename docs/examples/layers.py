"""Train two small Llamas on indirect objects, and declare a sweep of all layers of both: `python layers.py FOLDER`.

It writes `a/`, `b/`, `prompts.csv` and `layers.toml` into the folder, in a minute on two cores. In the folder,

    causalign sweep --spec layers.toml --out layers

aligns every layer of one with every layer of the other at the last word. Then `python layers.py FOLDER --write` writes
the table and the heat map of docs/sweeps.md.
"""

import sys
from pathlib import Path

import ioi
from page_part import write_part

import causalign as ca

DOCS = Path(__file__).parent.parent
BEGIN, END = "<!-- written by docs/examples/layers.py -->\n", "<!-- end -->"

SPEC = """rank = 8
controls = true

[data]
table = "prompts.csv"
no_swap_label = "own_answer"

[search]
max_steps = 150

[grid]
site_1 = ["hf:a@layer.1", "hf:a@layer.2", "hf:a@layer.3", "hf:a@layer.4"]
site_2 = ["hf:b@layer.1", "hf:b@layer.2", "hf:b@layer.3", "hf:b@layer.4"]
seed = [0, 1]
"""


def main(folder: Path) -> None:
    """Train both models, and write the spec."""
    for seed, name in enumerate(("a", "b")):
        print(f"{name}: accuracy on prompts that were held out {ioi.main(folder, name, seed):.3f}")
    (folder / "layers.toml").write_text(SPEC)


def write(folder: Path) -> None:
    """Write the heat map of the finished sweep, and its table into docs/sweeps.md."""
    found = ca.load_sweep(folder / "layers")
    assert set(found.counts) == {"finished"}, found.counts
    found.heatmap().savefig(DOCS / "images" / "layers.png", dpi=150)
    score, sd = (getattr(found.matrix(), name) for name in ("mean", "sd"))
    controls = {name: found.matrix(value=f"control_{name}").mean for name in ("untrained", "shuffled", "random")}
    lines = ["| layer of a | layer of b | IIA | sd | no swap | untrained | shuffled | random |", f"|{' --- |' * 8}"]
    baseline = found.matrix(value="no_swap").mean
    for row, column in ((row, column) for row in range(len(score)) for column in range(len(score))):
        others = [baseline, *controls.values()]
        numbers = [score, sd, *others]
        cells = " | ".join(f"{each[row, column]:.3f}" for each in numbers)
        lines.append(f"| {row + 1} | {column + 1} | {cells} |")
    seconds = found.worst["seconds"].sum()
    took = f"took {seconds / 60:.0f} minutes of one worker, on a machine with other work."
    lines += ["", f"{len(found.points)} alignments with their controls {took}"]
    page = DOCS / "sweeps.md"
    write_part(page, (BEGIN, END), "\n".join([*lines, ""]))


if __name__ == "__main__":
    (write if "--write" in sys.argv else main)(Path(sys.argv[1]))
