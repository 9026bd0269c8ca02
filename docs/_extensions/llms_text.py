"""A Sphinx extension that writes llms.txt: the title and the first sentence of every page, by section."""

import re
from collections.abc import Iterator
from pathlib import Path

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

FILE = "llms.txt"


def first_sentence(document: nodes.document) -> str:
    """Return the first sentence of the first paragraph of a page, or nothing if it has none."""
    for paragraph in document.findall(nodes.paragraph):
        if isinstance(paragraph.parent, nodes.section | addnodes.desc_content):
            text = " ".join(paragraph.astext().split())
            return re.sub(r":$", ".", re.split(r"(?<=[.?!])\s", text, maxsplit=1)[0])
    return ""


def pages(environment: BuildEnvironment, page: str) -> Iterator[str]:
    """Yield the pages below a page, in the order of the tables of contents."""
    for below in environment.toctree_includes.get(page, []):
        yield below
        yield from pages(environment, below)


def entry(environment: BuildEnvironment, page: str) -> str:
    """Return the line of a page."""
    sentence = first_sentence(environment.get_doctree(page))
    return f"- [{environment.titles[page].astext()}]({page}.html)" + (f": {sentence}" if sentence else "")


def text(environment: BuildEnvironment, root: str) -> str:
    """Return the whole file: a section for each page of the first level."""
    lines = [f"# {environment.titles[root].astext()}", "", f"> {first_sentence(environment.get_doctree(root))}"]
    for section in environment.toctree_includes.get(root, []):
        below = pages(environment, section)
        lines += ["", f"## {environment.titles[section].astext()}", ""]
        lines += [entry(environment, page) for page in (section, *below)]
    return "\n".join(lines) + "\n"


def write(app: Sphinx, exception: Exception | None) -> None:
    """Write the file beside the pages, when they are built."""
    if exception is None and app.builder.name == "html":
        (Path(app.outdir) / FILE).write_text(text(app.env, app.config.root_doc))


def setup(app: Sphinx) -> dict[str, bool]:
    """Add the extension to Sphinx."""
    app.connect("build-finished", write)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
