"""Write the tables of docs/validation.md, its figure, and the error rates that ship: `python validation.py FOLDER`.

FOLDER is that of `causalign validate --out FOLDER`, which takes half an hour on two cores.
"""

import shutil
import sys
from pathlib import Path

from causalign.alignment import verdict_rule
from causalign.validation.page import sections
from causalign.validation.protocol import Protocol
from causalign.validation.validate import FIGURE, Validation, load_validation

DOCS = Path(__file__).parent.parent
PAGE, IMAGE = DOCS / "validation.md", DOCS / "images" / "validation.png"


def main(folder: Path) -> None:
    """Replace each table between its markers, the figure, and the rates."""
    found = load_validation(folder, Protocol())
    text = PAGE.read_text()
    for name, table in tables(found).items():
        begin, end = f"<!-- {name.lower()}, written by docs/figures/validation.py -->\n", "<!-- end -->"
        start = text.index(begin) + len(begin)
        text = text[:start] + table + text[text.index(end, start) :]
    PAGE.write_text(text)
    shutil.copyfile(folder / FIGURE, IMAGE)
    rates = Path(verdict_rule.__file__).with_name(verdict_rule.RATES)
    rates.write_text(found.known.model_dump_json(indent=1) + "\n")


def tables(found: Validation) -> dict[str, str]:
    """Return the tables of the page by the name of their section, and how long the points took."""
    seconds = found.problems["seconds"].sum() + found.pairs["seconds"].sum()
    counts = f"{len(found.problems)} problems and {len(found.pairs)} pairs"
    took = f"The {counts} took {seconds / 60:.0f} minutes of one core.\n"
    return {**sections(found.problems, found.rates, found.naturalness, found.known), "Seconds": took}


if __name__ == "__main__":
    main(Path(sys.argv[1]))
