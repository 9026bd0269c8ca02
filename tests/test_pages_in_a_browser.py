"""The pages in a real browser, without a network: headless Chromium (Debian's chromium and chromium-driver)."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

import causalign as ca
from causalign.report.page import save_similarity, write_report
from causalign.report.pairs import read_pair, write_pairs_page

WIDTHS = {"wide": 1400, "narrow": 420}
INK = (26, 26, 26)
PLACES = """
const width = document.documentElement.clientWidth;
const rows = new Map();
for (const each of document.querySelectorAll('.figures > figure')) {
  const box = each.getBoundingClientRect();
  rows.set(Math.round(box.top), Math.max(rows.get(Math.round(box.top)) ?? 0, box.right));
}
const inside = document.body.getBoundingClientRect().right - parseFloat(getComputedStyle(document.body).paddingRight);
const tall = each => each.getClientRects().length;
return {
  scrolls: document.documentElement.scrollWidth - width,
  gaps: [...rows.values()].map(right => inside - right),
  wrapped: [...document.querySelectorAll('td.at, .name')].filter(each => {
    const range = document.createRange(); range.selectNodeContents(each);
    return new Set([...range.getClientRects()].map(box => Math.round(box.top))).size > 1;
  }).map(each => each.textContent),
  empty: [...document.querySelectorAll('svg, img')].filter(each => each.getBoundingClientRect().width < 50).length,
  broken: [...document.images].filter(each => !each.naturalWidth).length,
  ink: getComputedStyle(document.body).color,
  paper: getComputedStyle(document.body).backgroundColor,
};
"""
"""What a reader sees of a page, in numbers: pixels by which it is too wide, gaps beside figures, wrapped names, ..."""


@pytest.fixture(scope="module")
def browser() -> Iterator[webdriver.Chrome]:
    """A browser that may not reach a network, and that logs what a page complains of."""
    programs = [shutil.which("chromium"), shutil.which("chromedriver")]
    if None in programs:
        pytest.skip("needs chromium and chromedriver: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = str(programs[0])
    for argument in ("headless=new", "no-sandbox", "disable-gpu", "disable-background-networking", "disable-sync",
                     "disable-component-update", "no-first-run", "disable-dev-shm-usage",
                     "host-resolver-rules=MAP * ~NOTFOUND"):  # fmt: skip
        options.add_argument(f"--{argument}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options, Service(str(programs[1])))
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A page of each kind, with all of its parts."""
    folder = tmp_path_factory.mktemp("pages")
    a, b = (ca.zoo.load("multi-object/gru", seed=seed).site("hidden") for seed in (0, 1))
    small: dict[str, Any] = {"n_train": 60, "n_validation": 20, "n_test": 40}
    search = ca.SearchConfig(max_steps=2, batch_size=8)
    ca.align([a, b], rank=4, controls=True, search=search, out=folder / "pair", **small)
    save_similarity(ca.compare(a, b, draws=2, samples=100), folder / "pair")
    sweep = ca.sweep([a, b], {"rank": [2, 4]}, search=search, workers=1, out=folder / "sweep", **small)
    pair = read_pair("GRUs", folder / "pair")
    return {
        "alignment": write_report(folder / "pair"),
        "pairs": write_pairs_page(folder, [pair, pair], "Two pairs", "The same pair twice."),
        "sweep": sweep.report(),
    }


def shown(browser: webdriver.Chrome, page: Path, width: int = 1400, scheme: str = "light") -> dict[str, Any]:
    """Open a page, and return what is seen of it."""
    media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    browser.get(page.as_uri())
    found: dict[str, Any] = browser.execute_script(PLACES)
    return found


def luminance(color: str) -> float:
    """The relative luminance of a color as a browser writes it (WCAG 2.2)."""
    parts = [int(part) / 255 for part in color[color.index("(") + 1 : -1].split(",")[:3]]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(share * part for share, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.mark.parametrize("kind", ["alignment", "pairs", "sweep"])
def test_a_page_opens_offline_without_complaint(browser: webdriver.Chrome, pages: dict[str, Path], kind: str) -> None:
    seen = shown(browser, pages[kind])
    assert browser.get_log("browser") == []  # type: ignore[no-untyped-call]  # no error, and nothing that could not be fetched
    assert seen["empty"] == seen["broken"] == 0
    assert "causalign" in browser.title


@pytest.mark.parametrize("width", WIDTHS.values(), ids=WIDTHS)
@pytest.mark.parametrize("kind", ["alignment", "pairs", "sweep"])
def test_a_page_fits_its_window(browser: webdriver.Chrome, pages: dict[str, Path], kind: str, width: int) -> None:
    seen = shown(browser, pages[kind], width)
    assert seen["scrolls"] <= 0  # tables scroll by themselves
    assert all(abs(gap) < 2 for gap in seen["gaps"])  # figures fill their row
    assert seen["wrapped"] == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("kind", ["alignment", "pairs", "sweep"])
def test_text_stands_out_in_light_and_dark(
    browser: webdriver.Chrome, pages: dict[str, Path], kind: str, scheme: str
) -> None:
    seen = shown(browser, pages[kind], scheme=scheme)
    ink, paper = luminance(seen["ink"]), luminance(seen["paper"])
    assert (ink < paper) is (scheme == "light")
    lighter, darker = max(ink, paper), min(ink, paper)
    assert (lighter + 0.05) / (darker + 0.05) >= 7  # the contrast of WCAG's level AAA


def test_links_of_pages_lead_somewhere(browser: webdriver.Chrome, pages: dict[str, Path]) -> None:
    links = []
    for page in pages.values():
        shown(browser, page)
        links += browser.execute_script("return [...document.links].map(each => each.href)")
    assert len(links) >= 4
    for link in links:
        assert Path(link.removeprefix("file://").split("#")[0]).exists(), link


def test_the_glossary_has_what_is_on_the_page(browser: webdriver.Chrome, pages: dict[str, Path]) -> None:
    terms = "return [...document.querySelectorAll('dt')].map(each => each.textContent.split(' ')[0])"
    shown(browser, pages["alignment"])
    assert {"RSA", "CKA", "Procrustes", "Complement", "Energy"} <= {*browser.execute_script(terms)}
    alone = pages["alignment"].parent / "similarity.csv"
    kept = alone.read_text()
    alone.unlink()
    try:
        shown(browser, write_report(alone.parent))
        assert not {"RSA", "CKA", "Procrustes"} & {*browser.execute_script(terms)}
    finally:
        alone.write_text(kept)
        write_report(alone.parent)
