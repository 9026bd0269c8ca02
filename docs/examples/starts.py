"""Count the steps that a start in closed form saves language models: `python docs/examples/starts.py FOLDER`.

Six alignments of own data at small Llamas: the indirect object at the last word (DAS and MAS, models that `ioi.py`
trains into FOLDER), and the carry of additions (the shipped models of `causalign validate`). Each is searched twice,
from random maps and from the means of each label or value. Counted are the steps until the worst direction is within
0.01 of the best that either search settled at, on validation. The table is written into docs/performance.md. It takes
two minutes on two cores.
"""

import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import ioi
import pandas as pd
from page_part import write_part

import causalign as ca
from causalign.validation.problems.addition import AFTER_CARRY, swapped_carry

PAGE = Path(__file__).parent.parent / "performance.md"
BEGIN, END = "<!-- written by docs/examples/starts.py -->\n", "<!-- end of starts -->"
NEAR, MAX_STEPS = 0.01, 1000
Problem = tuple[str, Callable[[], ca.Counterfactuals], int]
"""The name of a problem, a function that returns its data, and the rank."""


def problems(folder: Path) -> Iterator[Problem]:
    """Yield every problem."""
    for seed, name in enumerate(("a", "b")):
        if not (folder / name).exists():
            ioi.main(folder, name, seed)
    frame = pd.read_csv(folder / "prompts.csv")
    networks = [ca.networks.from_pretrained(str(folder / name)) for name in ("a", "b")]
    for layers in ((2,), (3,), (2, 4), (3, 3)):
        sites = [network.site(f"layer.{layer}") for network, layer in zip(networks, layers, strict=False)]
        at = " x ".join(map(str, layers))
        yield (
            f"indirect object, layer {at}",
            lambda sites=sites: ca.Counterfactuals.from_table(frame, sites, no_swap_label="own_answer"),
            8,
        )
    for seeds in ((0,), (0, 1)):
        at = " x ".join(["1"] * len(seeds))
        yield f"carry, layer {at}", lambda seeds=seeds: swapped_carry(seeds, AFTER_CARRY, 0).data, 2


def row(problem: Problem) -> str:
    """Search from both starts, and return the row of the table."""
    name, data, rank = problem
    found = {}
    for start in ("random", "closed-form"):
        rows = data()
        method = "das" if len(rows.sites) == 1 else "mas"
        search = ca.SearchConfig(max_steps=MAX_STEPS)
        found[start] = ca.align(rows, method=method, rank=rank, start=start, search=search)
    settled = max(each.history["worst_iia"].max() for each in found.values())
    cells = [name, f"{settled:.3f}"]
    for each in found.values():
        near = each.history["step"][each.history["worst_iia"] >= settled - NEAR]
        step = f"{near.iloc[0]:,}" if len(near) else f"never, in {each.record.steps:,}"
        cells += [f"{each.history['worst_iia'].iloc[0]:.3f}", step, f"{each.worst_iia:.3f}"]
    return f"| {' | '.join(cells)} |"


def main(folder: Path) -> None:
    """Write the table."""
    warnings.simplefilter("ignore", ca.SearchWarning)
    head = "| problem | settled | random: at 0 | steps | on test | closed form: at 0 | steps | on test |"
    lines = [head, f"|{' --- |' * 8}"]
    for problem in problems(folder):
        lines.append(row(problem))
        print(lines[-1], flush=True)
    write_part(PAGE, (BEGIN, END), "\n".join([*lines, ""]))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
