"""Run the quickstart, and put its figures and its table into the README: `python docs/figures/quickstart.py`.

quickstart --run--> folder of figures, printed table --> docs/images/quickstart.png, README.md
"""

import io
import re
import sys
import tempfile
from contextlib import redirect_stdout, suppress
from pathlib import Path

import matplotlib.image
from matplotlib.figure import Figure
from rich.console import Console

import causalign as ca
from causalign.cli import main, tables

README, IMAGE = Path("README.md"), Path("docs/images/quickstart.png")
FIGURES = ("iia.png", "similarity.png", "learning_curve.png")
WIDTH = 80


def compose(folder: Path) -> None:
    """Put the three figures side by side, at one height."""
    images = [matplotlib.image.imread(folder / name) for name in FIGURES]
    shapes = [image.shape[1] / image.shape[0] for image in images]
    figure = Figure(figsize=(3.4 * sum(shapes), 3.4), layout="constrained")
    for axes, image in zip(figure.subplots(1, len(images), width_ratios=shapes), images, strict=True):
        axes.imshow(image)
        axes.set_axis_off()
    figure.savefig(IMAGE, dpi=120)


def table(folder: Path) -> str:
    """The table and the headline as the terminal shows them, indented for the README."""
    text = io.StringIO()
    tables.console = Console(file=text, width=WIDTH, highlight=False, markup=False)
    tables.show_alignment(ca.load_alignment(folder))
    lines = [line.rstrip() for line in text.getvalue().splitlines()]
    end = next(index for index, line in enumerate(lines) if line.startswith("Worst direction"))
    return "".join(f"    {line}".rstrip() + "\n" for line in lines[: end + 1])


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        sys.argv = ["causalign", "quickstart", "--out", temporary]
        with redirect_stdout(io.StringIO()), suppress(SystemExit):
            main()
        compose(Path(temporary))
        shown = table(Path(temporary))
    text = README.read_text()
    README.write_text(
        re.sub(r"    A  multi-object.*?    Worst direction[^\n]*\n", lambda _: shown, text, flags=re.DOTALL)
    )
