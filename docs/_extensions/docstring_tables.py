"""A Sphinx extension that turns Markdown tables in docstrings into tables of reStructuredText."""

import re
from typing import Any

from sphinx.application import Sphinx

ROW = re.compile(r"^\|(.*)\|$")
RULE = re.compile(r"^[\s|:-]+$")


def list_table(rows: list[str]) -> list[str]:
    """Return a list-table with the cells of the rows of a Markdown table. The first row is the heading."""
    lines = [".. list-table::", "   :header-rows: 1", ""]
    for row in rows:
        if not RULE.match(row):
            cells = [cell.strip() for cell in row.strip("|").split("|")]
            lines += [f"   {'-' if i else '* -'} {cell}".replace("   - ", "     - ", 1) for i, cell in enumerate(cells)]
    return ["", *lines, ""]


def replaced(lines: list[str]) -> list[str]:
    """Return the lines of a docstring with its tables replaced."""
    result: list[str] = []
    table: list[str] = []
    for line in [*lines, ""]:
        if ROW.match(line):
            table.append(line)
            continue
        if table:
            result += list_table(table)
            table = []
        result.append(line)
    return result[:-1]


def process(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:  # noqa: ARG001
    """Replace the tables of one docstring, in place."""
    lines[:] = replaced(lines)


def setup(app: Sphinx) -> dict[str, bool]:
    """Add the extension to Sphinx."""
    app.connect("autodoc-process-docstring", process)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
