"""Train two small Llamas on indirect objects, and declare a sweep of all layers of both: `python layers.py FOLDER`.

It writes `a/`, `b/`, `prompts.csv` and `layers.toml` into the folder, in a minute on two cores. In the folder,

    causalign sweep --spec layers.toml --out layers

aligns every layer of one with every layer of the other at the last word. docs/sweeps.md shows what it finds.
"""

import sys
from pathlib import Path

import ioi

SPEC = """sites = ["hf:a@layer.*", "hf:b@layer.*"]
rank = 8
controls = true

[data]
table = "prompts.csv"
no_swap_label = "own_answer"

[search]
max_steps = 150

[grid]
seed = [0, 1]
"""


def main(folder: Path) -> None:
    """Train both models, and write the spec."""
    for seed, name in enumerate(("a", "b")):
        print(f"{name}: accuracy on prompts that were held out {ioi.main(folder, name, seed):.3f}")
    (folder / "layers.toml").write_text(SPEC)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
