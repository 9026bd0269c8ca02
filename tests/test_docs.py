"""The documentation: its pages, their code, the reference, and the lists that the site is built from."""

import re
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import causalign as ca
from causalign.cli import COMMANDS

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
REFERENCE = DOCS / "reference"

EXECUTED = {
    "examples.md": "test_project.py",
    "generations.md": "test_generations.py",
    "own-data.md": "test_own_data.py",
    "digits-tutorial.ipynb": "test_tutorials.py",
    "language-model-tutorial.ipynb": "test_tutorials.py",
    "ray-tutorial.ipynb": "test_tutorials.py",
    "recordings-tutorial.ipynb": "test_tutorials.py",
    "two-networks-tutorial.ipynb": "test_tutorials.py",
    "recordings.md": "test_recordings.py",
    "tracking.md": "test_progress.py",
}
"""The pages whose code, or some of it, other tests run."""


def pages() -> dict[str, Path]:
    """The pages by the name that tables of contents have for them."""
    kinds = [path for kind in ("*.md", "*.ipynb", "*.rst") for path in (*DOCS.glob(kind), *REFERENCE.glob(kind))]
    return {path.relative_to(DOCS).with_suffix("").as_posix(): path for path in kinds}


def contents(page: Path) -> list[str]:
    """The pages in the tables of contents of a page."""
    if page.suffix != ".md":
        return []
    blocks = re.findall(r"```{toctree}\n(.*?)```", page.read_text(), re.DOTALL)
    names = [line for block in blocks for line in block.splitlines() if line and not line.startswith(":")]
    return [(page.parent / name).relative_to(DOCS).as_posix() for name in names]


def test_every_page_is_in_one_table_of_contents() -> None:
    listed = [name for page in pages().values() for name in contents(page)]
    assert sorted(listed) == sorted(pages().keys() - {"index"})


@pytest.mark.parametrize("name", [name for name, page in pages().items() if name != "index" and contents(page)])
def test_the_page_of_a_section_links_to_every_page_in_it(name: str) -> None:
    page = pages()[name]
    linked = re.findall(r"^\* \[[^\]]+\]\(([^)]+)\): .+", page.read_text(), re.MULTILINE)
    assert [(page.parent / link).relative_to(DOCS).with_suffix("").as_posix() for link in linked] == contents(page)


def entries() -> set[str]:
    """The names that have an entry in the reference, with their modules."""
    found = set()
    for page in REFERENCE.glob("*.rst"):
        module, listing = "", False
        for line in page.read_text().splitlines():
            if directive := re.match(r"\.\. (\w+):: ?(.*)", line):
                kind, argument = directive.groups()
                module = argument if kind == "currentmodule" else module
                listing = kind == "autosummary"
                found |= {argument} if kind == "automodule" else set()
                found |= {f"{module}.{argument}"} if kind == "data" else set()
            elif listing and re.match(r"   [\w.]+$", line):
                found.add(f"{module}.{line.strip()}")
    return found


def test_every_public_name_has_an_entry_in_the_reference() -> None:
    modules = {"causalign.zoo": "causalign.networks.zoo"}
    names = {f"causalign.{name}" for name in ca.__all__}
    assert {modules.get(name, name) for name in names} <= entries()


@pytest.mark.parametrize("module", [ca.callbacks, ca.networks, ca.sites, ca.tasks], ids=lambda module: module.__name__)
def test_every_name_of_a_public_module_has_an_entry_there_or_in_the_package(module: ModuleType) -> None:
    there = entries()
    for name in module.__all__:
        value = getattr(module, name)
        if not isinstance(value, ModuleType):
            in_package = name in ca.__all__ and getattr(ca, name) is value
            assert f"{module.__name__}.{name}" in there or in_package, name


def test_every_entry_of_the_reference_exists() -> None:
    for entry in entries() - {"causalign.networks.zoo"}:
        value: Any = ca
        for name in entry.split(".")[1:]:  # an attribute comes first: `sweep` is a function, and the name of its room
            value = getattr(value, name) if hasattr(value, name) else import_module(f"{value.__name__}.{name}")


def test_every_command_has_an_entry_in_the_reference() -> None:
    text = (REFERENCE / "command-line.md").read_text()
    rows = re.findall(r"^\| `causalign (\S+)` \| (.+) \|$", text, re.MULTILINE)
    assert dict(rows) == COMMANDS


@pytest.mark.parametrize("page", ["README.md", *(f"docs/{path.name}" for path in sorted(DOCS.glob("*.md")))])
def test_the_code_of_a_page_is_python(page: str) -> None:
    for block in re.findall(r"^```python\n(.*?)^```", (ROOT / page).read_text(), re.DOTALL | re.MULTILINE):
        compile(block, page, "exec")


def test_the_quickstart_has_the_example_that_the_readme_has() -> None:
    example = r"```python\n.*?```"
    first = [re.search(example, path.read_text(), re.DOTALL) for path in (ROOT / "README.md", DOCS / "quickstart.md")]
    assert first[0]
    assert first[1]
    assert first[0][0] == first[1][0]


def test_the_picture_of_the_rooms_is_that_of_the_imports(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(DOCS / "figures")
    drawing = import_module("architecture").drawing()
    assert (DOCS / "images/architecture.svg").read_text() == drawing, "python docs/figures/architecture.py draws it"
    assert all(
        f">{room.name}/<" in drawing for room in (ROOT / "src/causalign").iterdir() if (room / "__init__.py").exists()
    )


def test_pages_whose_code_is_run_are_named_by_the_tests_that_run_it() -> None:
    for page, test in EXECUTED.items():
        assert (DOCS / page).exists(), page
        assert f'"{page}"' in (ROOT / "tests" / test).read_text(), page


HAND_TYPED = {
    "docs/language-models.md": 3,
    "docs/method.md": 14,
    "docs/performance.md": 67,
    "docs/reproduction.md": 4,
    "docs/results.md": 176,
    "docs/statistics.md": 1,
}
"""The lines of tables and of outputs with measured numbers that no script wrote, by page."""


def without_written_parts(text: str) -> str:
    """A page without what scripts have written between marks, and without code."""
    text = re.sub(r"<!-- [^\n]*written by [^\n]*-->\n.*?<!-- end[^\n]*-->", "", text, flags=re.DOTALL)
    return re.sub(r"```.*?```", "", text, flags=re.DOTALL)


@pytest.mark.parametrize("page", ["README.md", *(f"docs/{path.name}" for path in sorted(DOCS.glob("*.md")))])
def test_measured_numbers_stand_where_a_script_wrote_them(page: str) -> None:
    lines = without_written_parts((ROOT / page).read_text()).splitlines()
    typed = [line for line in lines if re.match(r"\||    ", line) and re.search(r"\d\.\d{3}|^\|.*\d\.\d{2}", line)]
    allowed = HAND_TYPED.get(page, 0)
    if page == "docs/install.md":  # versions of Python
        typed = [line for line in typed if not re.search(r"Python 3\.1\d", line)]
    assert len(typed) <= allowed, "put it between marks, and let a script of docs/examples or docs/figures write it"
    assert page not in HAND_TYPED or len(typed) == allowed, "there are fewer now: lower the number of HAND_TYPED"


def test_the_script_of_every_written_part_is_there() -> None:
    for page in (ROOT / "README.md", *DOCS.glob("*.md")):
        for script in re.findall(r"<!-- [^\n]*written by (\S+\.py)", page.read_text()):
            assert (ROOT / script).exists(), f"{page.name}: {script}"
