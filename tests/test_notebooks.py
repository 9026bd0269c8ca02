"""What notebooks show of objects: one line as text, HTML with all that came from users escaped, figures as pictures."""

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import torch
from IPython.core.formatters import DisplayFormatter
from PIL import Image
from torch import nn

import causalign as ca
from causalign.alignment.figures import iia_matrix

pytestmark = pytest.mark.filterwarnings("ignore::causalign.errors.SearchWarning")  # untrained networks are not aligned

SCRIPT = "<script>alert(1)</script>"
SMALL: dict[str, Any] = {"rank": 2, "search": ca.SearchConfig(max_steps=1, batch_size=8)}


class Tags(HTMLParser):
    """Collects the tags of a fragment, and checks that they are closed."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        if tag != "img":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def objects(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """An object of each kind, of a network whose name is a script."""
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3)).eval()
    inputs = torch.randn(90, 4)
    site = ca.Site(module, "0", inputs=inputs[:3], name=SCRIPT)
    arrays: dict[str, Any] = {"source_inputs": inputs, "target_inputs": inputs.flip(0), "labels": [0, 1, 2] * 30}
    data = ca.Counterfactuals.from_arrays(site, **arrays)
    out = tmp_path_factory.mktemp("sweep")
    return {
        "an alignment": ca.align(data, method="das", **SMALL),
        "a sweep": ca.sweep(data, {"rank": [1, 2], "seed": [0]}, method="das", search=SMALL["search"], out=out),
        "a dataset": data,
        "a site": site,
        "a task": ca.tasks.MultiObject(),
        "no task": site.task,
        "an estimate": ca.estimate(data, method="das", **SMALL),
        "the methods": ca.METHODS,
    }


KINDS = ["an alignment", "a sweep", "a dataset", "a site", "a task", "no task", "an estimate", "the methods"]


@pytest.mark.parametrize("kind", KINDS)
def test_an_object_is_a_line_of_text_and_a_fragment_of_html(objects: dict[str, Any], kind: str) -> None:
    text = repr(objects[kind])
    assert "\n" not in text
    assert " object at 0x" not in text
    shown, _ = DisplayFormatter().format(objects[kind])
    tags = Tags()
    tags.feed(shown["text/html"])
    assert tags.open == []
    assert "table" in tags.names
    assert "script" not in tags.names


def test_scores_are_colored_cells_and_a_picture(objects: dict[str, Any]) -> None:
    cells = re.findall(r"background: (#\w{6})[^>]*>([\d.]+)</td>", objects["an alignment"]._repr_html_())
    assert [float(text) for _, text in cells] == [pytest.approx(objects["an alignment"].worst_iia, abs=5e-4)]
    assert 'src="data:image/png;base64,' in objects["a sweep"]._repr_html_()


def test_every_method_is_listed_with_what_it_is(objects: dict[str, Any]) -> None:
    shown = objects["the methods"]._repr_html_()
    for name, kind in ca.METHODS.items():
        assert f">{name}<" in shown
        assert f">{kind.__name__}: " in shown


@pytest.mark.parametrize("kind", ["a matrix", "a heat map"])
def test_a_figure_is_shown_as_a_picture(objects: dict[str, Any], kind: str, tmp_path: Path) -> None:
    found = objects["an alignment"]
    names = [site.name for site in found.record.sites]
    figure = iia_matrix(found.iia, names) if kind == "a matrix" else objects["a sweep"].heatmap()
    shown, _ = DisplayFormatter().format(figure)
    (tmp_path / "shown.png").write_bytes(shown["image/png"])
    with Image.open(tmp_path / "shown.png") as image:
        assert min(image.size) > 200


def test_the_places_of_a_network_are_those_that_it_takes(zoo_pair: Any) -> None:
    listed = ca.sites_of(zoo_pair[0]).set_index("at")["width"]
    assert {at: zoo_pair[0].site(at).width for at in listed.index} == listed.to_dict()
    assert "hidden" in listed
