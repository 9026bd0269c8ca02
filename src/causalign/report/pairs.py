"""Several pairs of networks side by side: what they can exchange, and how far they correlate.

folder of an alignment with its similarity --read--> pair --> conclusion, figure, page
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from causalign.alignment.figures import BLUE, GREY, ORANGE, ShownFigure, finish
from causalign.alignment.result import Alignment, load_alignment
from causalign.alignment.verdict_rule import UNTRAINED, Answer
from causalign.errors import InvalidArgument
from causalign.files import atomic_write, output_folder, write_text
from causalign.report.page import PAGE, PIXELS_PER_INCH, read_similarity, svg, template

PAIRS_PAGE, PAIRS_FIGURE = "pairs.html", "pairs.png"
SHOWN: Mapping[str, str] = {"RSA": "RSA (Spearman)", "CKA": "CKA"}
"""The correlational measures that are shown, by their short names."""
_HIGH = 0.9  # the correlation from which two pairs look alike
_LIGHT_BLUE = "#9ecae1"
_TITLES = {Answer.YES: "can be exchanged", Answer.NO: "cannot be exchanged", Answer.UNDECIDED: "undecided"}
_PHRASES = {
    Answer.YES: "the {} can exchange what they represent",
    Answer.NO: "the {} cannot exchange what they represent",
    Answer.UNDECIDED: "whether the {} can exchange what they represent is undecided",
}


@dataclass(frozen=True)
class Pair:
    """What is shown of two networks.

    Attributes:
        name: What the networks are called.
        answer: The answer of the verdict. `undecided` where the search was cut off.
        iia: The IIA of the worst direction.
        interval: Its exact 95 % interval.
        no_swap: The score of the same rows with nothing swapped.
        untrained: The worst direction with the first network untrained, into the other.
        measures: The value of each correlational measure, by its short name.
        spread: One standard deviation of each over draws of samples.
        page: The page of the alignment.
    """

    name: str
    answer: Answer
    iia: float
    interval: tuple[float, float]
    no_swap: float
    untrained: float
    measures: Mapping[str, float]
    spread: Mapping[str, float]
    page: Path


def read_pair(name: str, folder: Path) -> Pair:
    """Return the pair whose alignment is saved in a folder, with its similarity.

    Raises:
        FileFormatError: The folder has no saved alignment.
        InvalidArgument: The alignment has no IIA, no control of an untrained network, or no saved similarity.
    """
    alignment = load_alignment(folder)
    worst, measures = alignment.record.worst, read_similarity(folder, alignment.record)
    if worst is None or UNTRAINED not in alignment.worst_controls:
        raise InvalidArgument(f"{folder}: an alignment without an IIA, or without controls, is not shown beside others")
    if measures is None:
        raise InvalidArgument(f"{folder}: there is no table of correlational measures of these sites")
    columns = measures.set_index("measure")[["value", "sd"]].to_dict()
    return Pair(
        name=name,
        answer=_answer(alignment),
        iia=worst.iia,
        interval=alignment.worst_interval,
        no_swap=worst.no_swap,
        untrained=alignment.worst_controls[UNTRAINED],
        measures={short: columns["value"][measure] for short, measure in SHOWN.items()},
        spread={short: columns["sd"][measure] for short, measure in SHOWN.items()},
        page=folder / PAGE,
    )


def _answer(alignment: Alignment) -> Answer:
    try:
        return alignment.verdict.answer
    except InvalidArgument:  # the search was cut off
        return Answer.UNDECIDED


def conclusion(pairs: Sequence[Pair]) -> str:
    """Return in one sentence what the pairs can exchange, and whether the correlational measures show it."""
    said = ", ".join(f"{_PHRASES[pair.answer].format(pair.name)} (worst IIA {pair.iia:.3f})" for pair in pairs)
    values = {name: ", ".join(f"{pair.measures[name]:.3f}" for pair in pairs) for name in SHOWN}
    lowest = min(value for pair in pairs for value in pair.measures.values())
    if len({pair.answer for pair in pairs}) > 1 and lowest >= _HIGH:
        shown = "neither " + " nor ".join(f"{name} ({each})" for name, each in values.items()) + " shows it"
    else:
        shown = " and ".join(f"{name} is {each}" for name, each in values.items())
    return f"{said[0].upper()}{said[1:]}, and {shown}."


def pairs_figure(pairs: Sequence[Pair]) -> Figure:
    """Draw a panel for each pair: the IIA of its worst direction beside its correlational measures.

    The bar of the IIA has the exact 95 % interval of the worst direction, those of the measures one standard deviation
    over draws of samples.
    """
    figure = ShownFigure(figsize=(0.9 + 3.5 * len(pairs), 3.7), layout="constrained")
    panels = figure.subplots(1, len(pairs), sharey=True, squeeze=False)[0]
    for axes, pair in zip(panels, pairs, strict=True):
        _panel(axes, pair)
    panels[0].set_ylabel("score")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False, fontsize=9)
    return figure


def _panel(axes: Axes, pair: Pair) -> None:
    """Draw the bars of one pair."""
    low, high = pair.interval
    measures, spread = list(pair.measures.values()), list(pair.spread.values())
    at = np.arange(2 + len(measures))
    bars = (
        axes.bar(at[:1], pair.iia, yerr=[[pair.iia - low], [high - pair.iia]], color=BLUE, label="exchanged (IIA)"),
        axes.bar(at[1:2], pair.untrained, color=_LIGHT_BLUE, label="one network untrained"),
        axes.bar(at[2:], measures, yerr=spread, color=GREY, label="correlated"),
    )
    for each in bars:
        axes.bar_label(each, fmt="%.3f", padding=3, fontsize=9)
    axes.hlines(pair.no_swap, -0.4, 1.4, color=ORANGE, linewidth=2.5, label="nothing swapped")
    axes.set_xticks(at, ["IIA", "IIA\nuntrained", *pair.measures])
    axes.set_title(f"{pair.name[0].upper()}{pair.name[1:]}: {_TITLES[pair.answer]}")
    finish(axes)


def write_pairs_page(folder: Path, pairs: Sequence[Pair], title: str, text: str) -> Path:
    """Write the figure (PNG) and the page of several pairs, and return the page's path.

    Args:
        folder: The folder to write to. The pages of the pairs are below it.
        pairs: The pairs.
        title: The title of the page.
        text: A paragraph about the pairs.

    Raises:
        FileFormatError: The folder cannot be written.
    """
    output_folder(folder, PAIRS_PAGE, PAIRS_FIGURE)
    figure = pairs_figure(pairs)
    with atomic_write(folder / PAIRS_FIGURE) as temporary:
        figure.savefig(temporary, dpi=PIXELS_PER_INCH, format="png")
    page = template("causalign.report", "pairs.html.j2").render(
        title=title,
        text=text,
        conclusion=conclusion(pairs),
        pairs=[(pair, pair.page.relative_to(folder).as_posix()) for pair in pairs],
        measures=list(SHOWN),
        figure=svg(figure),
    )
    write_text(folder / PAIRS_PAGE, page)
    return folder / PAIRS_PAGE
