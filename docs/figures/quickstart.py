"""Run the quickstart, and put its figure and its terminal output into the pages: `python docs/figures/quickstart.py`.

quickstart --run--> pages, figure, printed table --> docs/images/quickstart*.png, README.md, docs/quickstart.md

The pages are photographed by a headless Chromium.
"""

import io
import shutil
import subprocess
import sys
import tempfile
from contextlib import redirect_stdout, suppress
from pathlib import Path

from rich.console import Console

from causalign.cli import main, tables
from causalign.cli.quickstart import PAIRS, TITLE
from causalign.report.pairs import PAIRS_FIGURE, conclusion, read_pair

sys.path.append(str(Path(__file__).parent.parent / "examples"))
from page_part import write_part

PAGES, IMAGES = (Path("README.md"), Path("docs/quickstart.md")), Path("docs/images")
MARKS = ("<!-- quickstart: written by docs/figures/quickstart.py -->\n", "<!-- end of quickstart -->")
PHOTOGRAPHS = {"quickstart-page": ("pairs.html", (1200, 900)), "report": ("grus/report.html", (1300, 1150))}
WIDTH = 80


def said(folder: Path) -> str:
    """The table and the conclusion as the terminal shows them, as a block of a page."""
    text = io.StringIO()
    tables.console = Console(file=text, width=WIDTH, highlight=False, markup=False)
    pairs = [read_pair(name, folder / name.lower()) for name in PAIRS]
    tables.show_pairs(pairs, TITLE)
    tables.console.print(conclusion(pairs))
    lines = "".join(f"    {line}".rstrip() + "\n" for line in text.getvalue().splitlines())
    return f"\n{lines}\n"


def photograph(page: Path, image: Path, size: tuple[int, int]) -> None:
    """Write what a browser shows of a page."""
    width, height = size
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--hide-scrollbars"]
    command = ["chromium", *options, f"--window-size={width},{height}", f"--screenshot={image.absolute()}"]
    subprocess.run([*command, page.absolute().as_uri()], check=True, capture_output=True)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "quickstart"
        sys.argv = ["causalign", "quickstart", "--out", str(folder)]
        with redirect_stdout(io.StringIO()), suppress(SystemExit):
            main()
        shutil.copy(folder / PAIRS_FIGURE, IMAGES / "quickstart.png")
        for name, (page, size) in PHOTOGRAPHS.items():
            photograph(folder / page, IMAGES / f"{name}.png", size)
        for page in PAGES:
            write_part(page, MARKS, said(folder))
