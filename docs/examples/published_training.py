"""Train GRUs on Rounding as the published code does, and look for their count: `python published_training.py FOLDER`.

The published training draws 1,000 trials once, and leaves the quantities 4, 9, 14 and 17 out of them. (Its learning
rates are those of appendix A.1, which this project's networks have too.) DAS then looks for the count, as in figure 3b,
at ranks 16 and 32; the better one on validation counts. Rows are of all quantities, or of those that were trained.

The question, set before the run: does DAS find the count in networks of this training, at 0.95 or more, where it comes
to 0.848 in networks that see new trials in every step? The table of docs/reproduction.md is written from what is found.
It takes half an hour on two cores; a training that was stopped goes on.
"""

import sys
from pathlib import Path

from page_part import write_part

import causalign as ca

PAGE = Path(__file__).parent.parent / "reproduction.md"
BEGIN, END = "<!-- written by docs/examples/published_training.py -->\n", "<!-- end -->"
HELD_OUT, SEEDS, TRIALS = (4, 9, 14, 17), (0, 1), 1000
TRAINED = [each for each in range(1, 21) if each not in HELD_OUT]


def row(folder: Path, seed: int) -> str:
    """Train a network, and return its row of the table."""
    task = ca.tasks.Rounding()
    recipe = ca.networks.Recipe(trials=TRIALS, max_steps=8000)
    network, card = ca.networks.train(task.only(TRAINED), "gru", seed, folder / str(seed), recipe=recipe)
    cells = [f"{seed}", f"{card.steps:,}", f"{card.accuracy:.3f}"]
    for some in (task.only(TRAINED), task):
        found = ca.align(
            network.site("hidden", some),
            method="das",
            variable="count",
            rank=ca.BestRank((16, 32)),
            search=ca.SearchConfig(max_steps=600),
        )
        low, high = found.worst_interval
        cells.append(f"{found.worst_iia:.3f} ({low:.3f} to {high:.3f}), {found.record.sites[0].accuracy:.3f}")
        print(seed, cells, found.record.rank, found.record.steps, flush=True)
    return f"| {' | '.join(cells)} |\n"


def main(folder: Path) -> None:
    """Train both networks, and write the table."""
    head = "| seed | steps | accuracy | DAS, trained quantities; accuracy | DAS, all quantities; accuracy |\n"
    rows = [head, "| --- | --- | --- | --- | --- |\n", *(row(folder, seed) for seed in SEEDS)]
    write_part(PAGE, (BEGIN, END), "".join(rows))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
