"""The page of a saved alignment: its figures, its scores, and the meaning of each number. It opens offline."""

import io
from pathlib import Path

import pandas as pd
from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined, Template, select_autoescape
from markupsafe import Markup
from matplotlib.figure import Figure

from causalign.alignment.figures import iia_matrix, learning_curve, similarity_bars
from causalign.alignment.result import load_alignment
from causalign.alignment.schema import AlignmentSummary
from causalign.alignment.verdict import verdict_line
from causalign.errors import InvalidArgument
from causalign.files import atomic_write, output_folder, write_text
from causalign.scoring.score_comparison import p_text

PAGE, SIMILARITY = "report.html", "similarity.csv"
FIGURES = ("iia.png", "learning_curve.png", "similarity.png")
PIXELS_PER_INCH = 160


def save_similarity(table: pd.DataFrame, folder: Path) -> Path:
    """Write the table of correlational measures to the folder of an alignment, and return the file's path.

    The report of that folder includes the table.

    Args:
        table: The measures, as `compare` returns them.
        folder: The folder of the alignment.

    Raises:
        FileFormatError: The file cannot be written.
    """
    write_text(folder / SIMILARITY, table.to_csv(index=False))
    return folder / SIMILARITY


def write_report(folder: Path | str) -> Path:
    """Write the figures (PNG) and the page of a saved alignment, and return the page's path.

    Args:
        folder: The folder of the alignment. If it has a `similarity.csv` of the same sites, the page includes it.

    Raises:
        FileFormatError: There is no saved alignment, one of its files is broken, or the folder cannot be written.
        InvalidArgument: `similarity.csv` is not a table of similarity measures.
    """
    folder = Path(folder)
    alignment = load_alignment(folder)
    output_folder(folder, PAGE, *FIGURES)
    sites = [site.name for site in alignment.record.sites]
    similarity = read_similarity(folder, alignment.record)
    figures = {"iia": iia_matrix(alignment.iia, sites), "learning_curve": learning_curve(alignment.history)}
    if similarity is not None and len(alignment.iia):
        figures["similarity"] = similarity_bars(alignment.iia, similarity)
    for name, figure in figures.items():
        with atomic_write(folder / f"{name}.png") as temporary:
            figure.savefig(temporary, dpi=PIXELS_PER_INCH, format="png")
        figure.set_layout_engine("none")  # the page has the figure as it is laid out now
    worst = alignment.iia.sort_values("iia").head(1).to_dict("records")
    page = template("causalign.report", "page.html.j2").render(
        record=alignment.record,
        controls=alignment.worst_controls,
        p={name: p_text(alignment.control_test(name).p_greater) for name in alignment.worst_controls},
        interval=alignment.worst_interval,
        worst=worst[0] if worst else None,
        caveats=alignment.caveats,
        verdict=verdict_line(alignment.record),
        stop_message=alignment.record.stopped.message,
        similarity=[] if similarity is None else similarity.to_dict("records"),
        figures={name: svg(figure) for name, figure in figures.items()},
    )
    write_text(folder / PAGE, page)
    return folder / PAGE


def read_similarity(folder: Path, record: AlignmentSummary) -> pd.DataFrame | None:
    """Return the saved table of correlational measures of an alignment's sites.

    Args:
        folder: The folder of the alignment.
        record: What is saved of the alignment.

    Returns:
        The table, or `None` if there is none, or if an earlier run left one of other sites.

    Raises:
        InvalidArgument: The file is not a table of similarity measures.
    """
    path, sites = folder / SIMILARITY, {f"{site.network}@{site.at}" for site in record.sites}
    if not path.exists():
        return None
    try:
        table = pd.read_csv(path)[["measure", "a", "b", "value", "sd", "draws", "samples"]]
        table = table.astype({"value": float, "sd": float, "draws": int, "samples": int})
    except (OSError, ValueError, KeyError) as error:
        raise InvalidArgument(f"{path}: not a table of similarity measures ({error})") from None
    return table if len(table) and {*table["a"], *table["b"]} <= sites else None


def svg(figure: Figure) -> Markup:
    """Return a figure as an `svg` element. Its text is drawn as paths, so that it looks the same everywhere."""
    text = io.StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None})
    return Markup(text.getvalue()[text.getvalue().index("<svg") :])


def template(package: str, name: str) -> Template:
    """Return the template of a page. It can extend `base.html.j2`, which is the frame of all pages.

    Args:
        package: The package that contains the template.
        name: The file name of the template.
    """
    loader = ChoiceLoader([PackageLoader(package, "."), PackageLoader("causalign.report", ".")])
    environment = Environment(loader=loader, autoescape=select_autoescape(["j2"]), undefined=StrictUndefined)
    return environment.get_template(name)
