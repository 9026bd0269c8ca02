"""Write the numbers of a finished reproduction into the docs: `python docs/figures/reproduction.py FOLDER`.

FOLDER is that of `causalign reproduce all`. The tables and three figures are copied, and the claims, the controls and
the times of docs/reproduction.md are written from them.
"""

import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd

from causalign.reproduction.reproduce import STUDIES, TABLE, VERDICTS
from causalign.reproduction.study import Claim

DOCS = Path(__file__).parent.parent
PAGE = DOCS / "reproduction.md"
FIGURES = {"2d": "fig2d-d.png", "3.2": "text32-section-3.2.png", "3b": "fig3b-b.png"}
"""The panels that the page shows, by the names of their images."""
NAMES = ["comparison", "site", "metric"]
NEARLY = 0.02  # as in `causalign.reproduction.table`


def marked(part: str) -> tuple[str, str]:
    """Return the marks between which a part of the page is written."""
    return f"<!-- {part}: written by docs/figures/reproduction.py -->\n", f"<!-- end of {part} -->"


def number(value: float) -> str:
    """Return a number as the tables have it."""
    return "-" if pd.isna(value) else f"{value + 0.0:.3f}".replace("-0.000", "0.000")


def label(row: pd.Series, among: pd.DataFrame) -> str:
    """Return what tells a row from others."""
    differ = [name for name in NAMES if len(set(among[name])) > 1]
    return ", ".join(str(row[name]) for name in differ)


def claimed(claim: Claim, rows: pd.DataFrame) -> str:
    """Return our numbers of a claim."""
    columns = ["panel", *NAMES]
    named: list[Any] = [SimpleNamespace(**dict(zip(columns, each, strict=True))) for each in rows[columns].to_numpy()]
    about = rows[list(map(claim.rows, named))]
    cells = []
    for _, row in about.iterrows():
        spread = "" if pd.isna(row["sem"]) else f" ({row['sem']:.3f})"
        cells.append(f"{label(row, about)} {row['ours']:.3f}{spread}".strip())
    return "; ".join(cells)


def claims(table: pd.DataFrame, verdicts: pd.DataFrame) -> Iterator[str]:
    """Yield the lines of the claims."""
    supported = int(verdicts["borne_out"].sum())
    yield f"{supported} of {len(verdicts)} claims are supported. Standard errors over networks are in brackets.\n"
    yield "| figure | claim | rule | ours | supported | rows that a control reaches |"
    yield f"|{' --- |' * 6}"
    for study in STUDIES.values():
        rows = table[(table["figure"] == study.name) & table["ours"].notna()]
        for claim in study.claims:
            (verdict,) = verdicts[(verdicts["figure"] == study.name) & (verdicts["claim"] == claim.text)].itertuples()
            holds = "yes" if verdict.borne_out else "**no**"
            cells = [study.name, claim.text, claim.rule, claimed(claim, rows), holds, str(verdict.rows_reached)]
            yield f"| {' | '.join(each.replace('|', '/') for each in cells)} |"


def controls(table: pd.DataFrame) -> Iterator[str]:
    """Yield the lines of the controls, the complement and the naturalness of every causal score."""
    columns = ["figure", "score", "untrained", "shuffled", "random", "baseline", "complement", "outside", "energy"]
    yield f"| {' | '.join(columns)} |"
    yield f"|{' --- |' * len(columns)}"
    for _, row in table[table["control_random"].notna()].iterrows():
        into = row["ours_into_others"]
        score = number(row["ours"]) + (f" ({into:.3f})" if pd.notna(into) and abs(into - row["ours"]) > 0.0005 else "")
        near = []
        for name in ("untrained", "shuffled", "random"):
            value, same = row[f"control_{name}"], into if name == "untrained" else row["ours"]
            near.append(f"**{number(value)}**" if value >= same - NEARLY else number(value))
        pairs = [
            "-" if pd.isna(row[name]) else f"{number(row[name])} ({number(row[other])})"
            for name, other in (
                ("complement", "whole_swap"),
                ("outside", "outside_natural"),
                ("energy", "energy_natural"),
            )
        ]
        name = ", ".join(str(row[each]) for each in ("figure", *NAMES))
        yield f"| {' | '.join([name, score, *near, number(row['no_swap']), *pairs])} |"


def times(table: pd.DataFrame) -> Iterator[str]:
    """Yield the minutes of one worker by figure."""
    yield "| figure | minutes of the searches | of their controls | searches that were cut off |"
    yield f"|{' --- |' * 4}"
    by_figure = table.groupby("figure", sort=False)[["seconds", "control_seconds", "cut_off"]].sum()
    for figure, row in [*by_figure.iterrows(), ("all", by_figure.sum())]:
        yield f"| {figure} | {row['seconds'] / 60:.1f} | {row['control_seconds'] / 60:.1f} | {row['cut_off']:.0f} |"


def main(folder: Path) -> None:
    """Copy the tables and figures, and write the page."""
    table, verdicts = (pd.read_csv(folder / name) for name in (TABLE, VERDICTS))
    for name in (TABLE, VERDICTS):
        shutil.copy(folder / name, DOCS / "reproduction" / name)
    for name, file in FIGURES.items():
        shutil.copy(folder / file, DOCS / "images" / f"reproduction-{name}.png")
    parts: dict[str, Callable[[], Iterator[str]]] = {
        "claims": lambda: claims(table, verdicts),
        "controls": lambda: controls(table),
        "times": lambda: times(table),
    }
    text = PAGE.read_text()
    for part, lines in parts.items():
        begin, end = marked(part)
        start = text.index(begin) + len(begin)
        text = text[:start] + "\n".join([*lines(), ""]) + text[text.index(end) :]
    PAGE.write_text(text)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
