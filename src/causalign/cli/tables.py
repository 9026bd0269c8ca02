"""The tables and messages that the commands print."""

from collections.abc import Sequence
from itertools import islice
from string import ascii_uppercase

import pandas as pd
from rich.console import Console
from rich.table import Table
from rich.text import Text

from causalign.alignment.result import Alignment
from causalign.alignment.verdict import verdict_line
from causalign.networks.zoo import Entry
from causalign.planning.estimate import Estimate
from causalign.report.pairs import SHOWN, Pair
from causalign.scoring.score_comparison import p_text

# Markup is off: names and paths come from the user, and square brackets in them are not styles.
console = Console(highlight=False, markup=False)
errors = Console(stderr=True, highlight=False, markup=False)

_CONTROLS = {
    "untrained": "first network untrained, scored into the others",
    "shuffled": "expected outputs shuffled",
    "random": "random subspaces",
}
_LEAST_WITHIN = 0.5  # a network that scores less with its own states cannot judge those of another


def complain(message: object) -> None:
    """Print an error in one line on the standard error."""
    errors.print(Text.assemble(("error: ", "red"), str(message)), soft_wrap=True)


def show_alignment(alignment: Alignment) -> None:
    """Print the IIA of every direction, the worst direction, the controls and the caveats."""
    record = alignment.record
    letters = dict(zip((site.name for site in record.sites), ascii_uppercase, strict=False))
    for name, letter in letters.items():
        console.print(Text.assemble((letter, "bold"), f"  {name}"), soft_wrap=True)
    table = new_table("Interchange intervention accuracy (IIA)", "direction", "variable")
    for column in ("IIA", "95 % interval", "rows", "no swap", "complement"):
        table.add_column(column, justify="right", no_wrap=True)
    for score in record.iia:
        direction = " -> ".join(letters.get(name, name) for name in (score.source, score.target))
        interval = f"{score.ci_low:.3f} to {score.ci_high:.3f}"
        numbers = (f"{score.iia:.3f}", interval, f"{score.rows:,}", f"{score.no_swap:.3f}", _known(score.complement))
        table.add_row(direction, score.variable, *numbers)
    if record.iia:
        console.print(table)
    for latent in record.latent:
        direction = " -> ".join(letters.get(name, name) for name in (latent.source, latent.target))
        interval = f"{latent.ci_low:.3f} to {latent.ci_high:.3f}"
        console.print(
            f"{direction} is not run: latent distance {latent.distance:.3f} ({interval}, bootstrap over "
            f"{latent.trials} trials), {latent.no_swap:.3f} with nothing swapped",
            soft_wrap=True,
        )
    for score in record.untrained:
        direction = " -> ".join(letters.get(name, name) for name in (score.source, score.target))
        console.print(f"{direction} was not trained: {score.iia:.3f} ({score.ci_low:.3f} to {score.ci_high:.3f})")
    if record.holdout:
        worst_held = min(record.holdout, key=lambda score: score.iia)
        direction = " -> ".join(letters.get(name, name) for name in (worst_held.source, worst_held.target))
        console.print(
            f"Held-out values: {worst_held.iia:.3f} ({worst_held.ci_low:.3f} to {worst_held.ci_high:.3f}) in the worst "
            f"direction, {direction}; {worst_held.no_swap:.3f} with nothing swapped",
            soft_wrap=True,
        )
    how = f"  ({record.method}, {record.extent}, {record.steps} steps, {record.seconds.total:.1f} s)"
    worst = record.worst
    headline = "No direction can be run" if worst is None else f"Worst direction: {worst.iia:.3f}"
    interval = "" if worst is None else " ({:.3f} to {:.3f})".format(*alignment.worst_interval)
    baseline = "" if worst is None else f", {worst.no_swap:.3f} with nothing swapped"
    console.print(Text.assemble((headline, "bold"), interval, baseline, how), soft_wrap=True)
    for tried in record.ranks:
        console.print(
            f"Rank {tried.rank}: {_score(tried.worst_iia)} on validation after {tried.steps} steps; the search "
            f"{tried.stopped.message}",
            soft_wrap=True,
        )
    _show_controls(alignment)
    if line := verdict_line(record):
        console.print(line, style="bold", soft_wrap=True)
    for caveat in alignment.caveats:
        console.print(caveat, soft_wrap=True)
    for score in record.iia:
        if score.source == score.target and score.iia < _LEAST_WITHIN:
            letter = letters.get(score.source, score.source)
            console.print(
                f"{letter} scores only {score.iia:.3f} with its own states. Its other scores then mean little:\n"
                f"its site may not carry {score.variable!r}, or the search may need more steps."
            )
    console.print(
        "IIA: share of held-out rows in which the target predicts every scored token\n"
        "after the swap. No swap: the baseline, the same score with nothing swapped.\n"
        "Complement: share in which the target keeps its variable while all else is swapped.\n",
        style="dim",
    )


def _show_controls(alignment: Alignment) -> None:
    """Print the worst direction of each control, into trained networks."""
    for name, score in alignment.worst_controls.items():
        reached = ", no lower than the alignment" if score >= alignment.worst_iia else ""
        p = f"p(no higher than the control) {p_text(alignment.control_test(name).p_greater)}"
        console.print(f"Control ({_CONTROLS[name]}): {score:.3f}{reached}; {p}", soft_wrap=True)


def _known(score: float | None) -> str:
    return "-" if score is None or score != score else f"{score:.3f}"


def _score(score: float | None) -> str:
    return "not run" if score is None else f"{score:.3f}"


def show_similarity(similarity: pd.DataFrame) -> None:
    """Print the correlational measures of two sites."""
    table = new_table("Correlational measures of the two sites", "measure")
    recorded = "ceiling_low" in similarity
    of_recordings = ("95 % interval", "noise ceiling") if recorded else ()
    for column in ("value", *of_recordings, "sd over draws", "draws", "values" if recorded else "samples"):
        table.add_column(column, justify="right")
    for row in similarity.to_dict("records"):
        more = (
            (_range(row["ci_low"], row["ci_high"]), _range(row["ceiling_low"], row["ceiling_high"])) if recorded else ()
        )
        figures = (f"{row['value']:.3f}", *more, f"{row['sd']:.3f}", str(row["draws"]), f"{row['samples']:,}")
        table.add_row(row["measure"], *figures)
    console.print(table)


def show_pairs(pairs: Sequence[Pair], title: str) -> None:
    """Print how far the networks of each pair can exchange what they represent, and how far they correlate."""
    table = new_table(title, "networks")
    for column in ("worst IIA", "no swap", "untrained", *SHOWN):
        table.add_column(column, justify="right")
    for pair in pairs:
        iia = "{:.3f} ({:.3f} to {:.3f})".format(pair.iia, *pair.interval)
        others = (pair.no_swap, pair.untrained, *pair.measures.values())
        table.add_row(pair.name, iia, *(f"{value:.3f}" for value in others))
    console.print(table)


def show_comparison_matrix(matrix: pd.DataFrame, measure: str) -> None:
    """Print one measure of each two of several sites, which are named by letters."""
    letters = _letters(len(matrix))
    for letter, name in zip(letters, matrix.index, strict=True):
        console.print(Text.assemble((letter, "bold"), f"  {name}"), soft_wrap=True)
    table = new_table(measure, "")
    for letter in letters:
        table.add_column(letter, justify="right", no_wrap=True)
    for letter, values in zip(letters, matrix.to_numpy(), strict=True):
        table.add_row(letter, *map(_known, values))
    console.print(table)
    undefined = int(matrix.isna().to_numpy().sum()) // 2
    if undefined:
        console.print(f"{undefined} pairs have no value of {measure}; the column note of the table says why")


def _letters(count: int) -> list[str]:
    """Return A, B, ..., Z, AA, AB, ..."""
    names = (first + second for first in ("", *ascii_uppercase) for second in ascii_uppercase)
    return list(islice(names, count))


def _range(low: float, high: float) -> str:
    return "-" if low != low else f"{low:.3f} to {high:.3f}"


def show_zoo(entries: Sequence[Entry]) -> None:
    """Print the shipped networks, with the accuracy and the seconds of their training."""
    table = new_table("Trained networks, by the names that --site takes", "network")
    for column in ("task", "seed", "accuracy", "seconds"):
        table.add_column(column, justify="left" if column == "task" else "right", no_wrap=True)
    for entry in entries:
        card = entry.card
        figures = (str(entry.seed), f"{card.accuracy:.3f}", f"{card.seconds:.0f}")
        table.add_row(f"zoo:{entry.name}/{entry.seed}", card.task, *figures)
    console.print(table)


def show_scores(table: pd.DataFrame) -> None:
    """Print the scores of a saved alignment on other data, one line for each direction."""
    shown = new_table("Scores on the test rows", "source", "target", "variable")
    numbers = [name for name in table.columns if name not in ("source", "target", "variable")]
    for column in numbers:
        shown.add_column(column, justify="right", no_wrap=True)
    for row in table.to_dict("records"):
        figures = [f"{row[name]:,}" if name == "rows" else _known(row[name]) for name in numbers]
        shown.add_row(row["source"], row["target"], row["variable"], *figures)
    console.print(shown)


def show_estimate(estimate: Estimate) -> None:
    """Print the estimated time, operations, memory and disk space of an alignment."""
    table = new_table("Estimate of the alignment", "")
    table.add_column("", justify="right")
    for name, figure in estimate.lines.items():
        table.add_row(name, figure.replace(", ", "\n"))
    console.print(table)
    for network in estimate.shallow:
        console.print(f"Estimated from models of few layers with random weights in place of {network}.", soft_wrap=True)


def new_table(title: str, *columns: str) -> Table:
    """Return an empty table with a title, and columns whose text may be folded."""
    table = Table(title=title, title_justify="left", title_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table
