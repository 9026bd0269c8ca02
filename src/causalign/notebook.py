"""What notebooks show of an object: a line, a table of two columns, a matrix of colored cells."""

from collections.abc import Mapping, Sequence
from html import escape

_DARK = 0.55  # the share of the color scale below which a cell is dark


def summary_html(line: str, entries: Mapping[str, object]) -> str:
    """Return a line and a table of names and values, escaped.

    Args:
        line: The line above the table.
        entries: The values by name. Those that are `None` or empty are left out.
    """
    cell = "<td style='text-align: left'>"
    rows = "".join(
        f"<tr>{cell}{escape(name)}</td>{cell}{escape(str(value))}</td></tr>"
        for name, value in entries.items()
        if value is not None and str(value)
    )
    return f"<p>{escape(line)}</p><table>{rows}</table>"


def matrix_html(title: str, names: Sequence[str], cells: Mapping[tuple[int, int], tuple[float, str]]) -> str:
    """Return a matrix whose cells have the color of their score, from 0 to 1.

    Args:
        title: The title of the rows and columns.
        names: The names of the rows, which are those of the columns too.
        cells: The score and the text under the pointer of a cell, by its row and column.
    """
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    def cell(row: int, column: int) -> str:
        if (row, column) not in cells:
            return "<td></td>"
        score, note = cells[row, column]
        ink = "#fff" if score < _DARK else "#1a1a1a"
        style = (
            f"background: {to_hex(colormaps['cividis'](score))}; color: {ink}; padding: .5em .8em; text-align: center"
        )
        return f"<td style='{style}' title='{escape(note)}'>{score:.3f}</td>"

    head = "".join(f"<th>{escape(name)}</th>" for name in names)
    body = "".join(
        f"<tr><th>{escape(name)}</th>{''.join(cell(row, column) for column in range(len(names)))}</tr>"
        for row, name in enumerate(names)
    )
    return f"<table><tr><th>{escape(title)}</th>{head}</tr>{body}</table>"
