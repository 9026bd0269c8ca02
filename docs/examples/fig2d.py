"""Set a finished sweep of `fig2d.toml` beside the reproduction's panel: `python docs/examples/fig2d.py FOLDER`.

The table is written into docs/sweeps.md. The sweep takes some minutes on two cores.
"""

import sys
from pathlib import Path

import pandas as pd
from page_part import write_part

import causalign as ca

DOCS = Path(__file__).parent.parent
BEGIN, END = "<!-- written by docs/examples/fig2d.py -->\n", "<!-- end of fig2d -->"


def panel() -> pd.Series:
    """Return the line of MAS in figure 2d of the reproduction: the mean of the worst directions, by rank."""
    rows = pd.read_csv(DOCS / "reproduction" / "table.csv")
    line = rows[(rows["figure"] == "fig2d") & (rows["metric"] == "MAS")]
    return line.set_index(line["comparison"].astype(int))["ours"]


def main(folder: Path) -> None:
    """Write the table."""
    worst = ca.load_sweep(folder).worst
    assert (worst["status"] == "finished").all()
    by_rank = worst.groupby("rank")["iia"]
    lines = ["| rank | sweep | sd over pairs | `causalign reproduce fig2d` |", f"|{' --- |' * 4}"]
    for rank, study in panel().items():
        lines.append(f"| {rank} | {by_rank.mean()[rank]:.4f} | {by_rank.std()[rank]:.4f} | {study:.4f} |")
    page = DOCS / "sweeps.md"
    write_part(page, (BEGIN, END), "\n".join([*lines, ""]))
    print("\n".join(lines))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
