from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest
from matplotlib.figure import Figure
from PIL import Image

import causalign as ca
from causalign.alignment.figures import iia_matrix, similarity_bars
from causalign.report.page import save_similarity, write_report

NAMES = ["a@hidden", "b@hidden"]


def table_of(scores: list[float]) -> pd.DataFrame:
    rows = [(s, t) for s in NAMES for t in NAMES]
    return pd.DataFrame(
        [
            {
                "source": s,
                "target": t,
                "variable": "full",
                "iia": x,
                "ci_low": x - 0.1,
                "ci_high": x + 0.1,
                "rows": 9,
                "no_swap": 0.05,
            }
            for (s, t), x in zip(rows, scores, strict=True)
        ]
    )


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.axes[0].texts]


def test_long_names_do_not_squeeze_the_matrix(tmp_path: Path) -> None:
    names = ["/a/very/long/path/to/the/folder/of/a/network/that/somebody/trained/" + name for name in NAMES]
    table = table_of([0.9, 0.2, 0.7, 0.8]).replace(dict(zip(NAMES, names, strict=True)))
    figure = iia_matrix(table, names)
    figure.savefig(tmp_path / "figure.png")  # matplotlib's warning that axes collapsed would be an error here
    assert figure.axes[0].get_xticklabels()[0].get_text() == "/a/very/lo…dy/trained/a\n@hidden"
    assert all(len(line) <= 24 for label in figure.axes[0].get_xticklabels() for line in label.get_text().split("\n"))


def test_names_are_no_formulas(tmp_path: Path) -> None:
    names = ["a$_$b@hidden", "c@d/e@hidden"]
    figure = iia_matrix(table_of([0.9, 0.2, 0.7, 0.8]).replace(dict(zip(NAMES, names, strict=True))), names)
    figure.savefig(tmp_path / "figure.png")
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == ["a\\$_\\$b\n@hidden", "c@d/e\n@hidden"]


def test_a_negative_correlation_is_seen() -> None:
    table = table_of([0.9, 0.2, 0.7, 0.8])
    similarity = pd.DataFrame([{"measure": "RSA (Pearson)", "value": -0.4, "sd": 0.1}])
    assert similarity_bars(table, similarity).axes[0].get_ylim()[0] < -0.5


def test_the_matrix_reads_from_row_to_column() -> None:
    figure = iia_matrix(table_of([0.9, 0.2, 0.7, 0.8]), NAMES)
    assert texts(figure) == [
        "0.900\n[0.800, 1.000]\nno swap 0.050",
        "0.200\n[0.100, 0.300]\nno swap 0.050",
        "0.700\n[0.600, 0.800]\nno swap 0.050",
        "0.800\n[0.700, 0.900]\nno swap 0.050",
    ]
    image = figure.axes[0].images[0].get_array()
    assert image is not None
    assert image[0, 1] == 0.2  # source a, target b
    assert figure.axes[0].texts[1].get_position() == (1, 0)


class Links(HTMLParser):
    """Collects what a page would fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        wanted = {"src", "href", "xlink:href"}
        self.found += [
            value for name, value in attrs if name in wanted and value and not value.startswith(("#", "data:"))
        ]
        if tag in {"script", "link", "iframe"}:
            self.found.append(tag)


@pytest.mark.parametrize("with_similarity", [True, False])
def test_the_page_opens_offline_and_shows_the_numbers(
    rough: ca.Alignment, tiny_pair: tuple[ca.networks.GRU, ca.networks.GRU], tmp_path: Path, with_similarity: bool
) -> None:
    rough.save(tmp_path)
    names = ["iia.png", "learning_curve.png"]
    if with_similarity:
        a, b = (network.site("hidden") for network in tiny_pair)
        save_similarity(ca.compare(a, b, draws=2, samples=100), tmp_path)
        names.append("similarity.png")
    page = write_report(tmp_path)
    text = page.read_text()
    links = Links()
    links.feed(text)
    assert links.found == []
    assert f"{rough.worst_iia:.3f}" in text
    for score in rough.record.iia:
        assert f"{score.ci_low:.3f} to {score.ci_high:.3f}" in text
    assert text.count("<svg") == len(names)
    assert ("Procrustes distance</td>" in text) is with_similarity
    assert sorted(file.name for file in tmp_path.glob("*.png")) == names
    for name in names:
        with Image.open(tmp_path / name) as image:
            assert min(image.size) > 400


def test_a_report_of_nothing_is_refused(tmp_path: Path, rough: ca.Alignment) -> None:
    with pytest.raises(ca.CausalignError, match="not a saved alignment"):
        write_report(tmp_path)
    rough.save(tmp_path)
    (tmp_path / "similarity.csv").write_text("measure,value\nCKA,1\n")
    with pytest.raises(ca.CausalignError, match="not a table of similarity measures"):
        write_report(tmp_path)
    assert not (tmp_path / "report.html").exists()
