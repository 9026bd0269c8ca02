"""`reproduce`: run studies, decide their claims, and write the table, the figures and the page.

studies --declare--> comparisons --run--> outcomes --decide--> verdicts --write--> table, figures, page
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from causalign.callbacks import Callback, silent
from causalign.errors import lookup
from causalign.files import atomic_write, output_folder, write_text
from causalign.reproduction.fig2a import FIG2A
from causalign.reproduction.fig2b import FIG2B
from causalign.reproduction.fig2d import FIG2D
from causalign.reproduction.fig3a import FIG3A
from causalign.reproduction.fig3b import FIG3B
from causalign.reproduction.fig6 import FIG6
from causalign.reproduction.figures import draw
from causalign.reproduction.page import PAGE, page
from causalign.reproduction.study import Protocol, Study
from causalign.reproduction.table import COLUMNS, Verdict, judge, table
from causalign.reproduction.text32 import TEXT32
from causalign.sweep.comparisons import run_comparisons
from causalign.sweep.folder import SweepFolder
from causalign.sweep.workers import cores

STUDIES = {study.name: study for study in (FIG2A, FIG2B, TEXT32, FIG2D, FIG3A, FIG3B, FIG6)}
TABLE, VERDICTS = "table.csv", "verdicts.csv"
_PIXELS_PER_INCH = 160


@dataclass(frozen=True)
class Reproduction:
    """The result of one or several studies.

    Attributes:
        table: The rows of all studies (see `table`).
        verdicts: The verdict on every claim.
        page: The path of the page.
    """

    table: pd.DataFrame
    verdicts: tuple[Verdict, ...]
    page: Path


def reproduce(
    names: Sequence[str], folder: Path, protocol: Protocol, workers: int | None = None, callback: Callback = silent
) -> Reproduction:
    """Run studies, and write `table.csv`, `verdicts.csv`, a PNG and a PDF for each panel, and a page.

    Comparisons that were finished in `folder` before are not run again.

    Args:
        names: The names of the studies, from `STUDIES`.
        folder: The folder to write to.
        protocol: The protocol.
        workers: The number of processes. By default one for each core. With more than one, a script must call this
            function under `if __name__ == "__main__":`.
        callback: A function that is called after every comparison.

    Raises:
        CausalignError: A study is unknown, a comparison cannot be run, or the folder cannot be written.
    """
    studies = [lookup("study", name, STUDIES) for name in dict.fromkeys(names)]
    output_folder(folder, TABLE, VERDICTS, PAGE)
    measured = {study.name: study.measured(protocol) for study in studies}
    comparisons = [each for rows in measured.values() for row in rows for each in row.comparisons]
    outcomes = run_comparisons(comparisons, SweepFolder(folder), workers or cores(), callback)
    verdicts = {study.name: judge(study, measured[study.name], outcomes) for study in studies}
    tables = [table(study, measured[study.name], outcomes, verdicts[study.name]) for study in studies]
    whole = pd.concat(tables, ignore_index=True)
    every = tuple(verdict for each in verdicts.values() for verdict in each)
    write_text(folder / TABLE, whole.to_csv(index=False, columns=_in_order(whole), float_format="%.6g"))
    write_text(folder / VERDICTS, _listed(every).to_csv(index=False))
    _draw(studies, whole, folder)
    write_text(folder / PAGE, page(studies, whole, every))
    return Reproduction(whole, every, folder / PAGE)


def _in_order(whole: pd.DataFrame) -> list[str]:
    return [*COLUMNS, *(name for name in whole.columns if name not in COLUMNS)]


def _listed(verdicts: Sequence[Verdict]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "figure": each.figure,
                "claim": each.claim.text,
                "rule": each.claim.rule,
                "borne_out": each.holds,
                "rows_reached": each.reached,
            }
            for each in verdicts
        ]
    )


def _draw(studies: Sequence[Study], whole: pd.DataFrame, folder: Path) -> None:
    for study in studies:
        for panel in study.panels:
            figure = draw(panel, whole[whole["figure"] == study.name])
            for kind in ("png", "pdf"):
                with atomic_write(folder / f"{study.name}-{panel.name.replace(' ', '-')}.{kind}") as temporary:
                    figure.savefig(temporary, dpi=_PIXELS_PER_INCH, format=kind)
