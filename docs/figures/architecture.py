"""Draw the rooms and what imports what, as the code has it: `python docs/figures/architecture.py`.

imports --grimp--> arrows between rooms --those that others imply left out--> docs/images/architecture.svg

The rows are the layers of pyproject.toml, from top to bottom. An arrow leads from a room to one that it imports. The
single files of the lower layers are one box each layer.
"""

import tomllib
from collections.abc import Iterator, Mapping
from html import escape
from pathlib import Path

import grimp
import networkx

ROOT = Path(__file__).parent.parent.parent
IMAGE = ROOT / "docs" / "images" / "architecture.svg"
PACKAGE = "causalign"
WIDTH, ROW, BOX, HIGH = 860, 62, 26, 8.2  # the picture, a row and a box, and a letter, in pixels


def layers() -> list[list[str]]:
    """The names of each layer, from top to bottom."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    return [[name.strip() for name in layer.split("|")] for layer in contracts[0]["layers"]]


def boxes() -> list[dict[str, tuple[str, ...]]]:
    """The boxes of each layer: a room, or all the files of a layer that has no rooms, by what is written in them."""
    found = []
    for layer in layers():
        rooms = [name for name in layer if (ROOT / "src" / PACKAGE / name).is_dir()]
        files = tuple(name for name in layer if name not in rooms)
        row = {f"{room}/": (room,) for room in rooms}
        found.append(row | ({", ".join(files): files} if files else {}))
    return found


def arrows(rows: list[dict[str, tuple[str, ...]]]) -> list[tuple[str, str]]:
    """The imports between boxes that no chain of other imports implies."""
    box_of = {name: box for row in rows for box, names in row.items() for name in names}
    graph, found = grimp.build_graph(PACKAGE, cache_dir=None), networkx.DiGraph()
    found.add_nodes_from(box_of.values())
    for module in graph.modules:
        for imported in graph.find_modules_directly_imported_by(module):
            ends = [name.split(".")[1] for name in (module, imported) if "." in name]
            if len(ends) == 2 and box_of[ends[0]] != box_of[ends[1]]:
                found.add_edge(box_of[ends[0]], box_of[ends[1]])
    return sorted(networkx.transitive_reduction(found).edges)


def places(rows: list[dict[str, tuple[str, ...]]]) -> Mapping[str, tuple[float, float, float]]:
    """The middle of each box, and its width."""
    found = {}
    for index, row in enumerate(rows):
        for column, box in enumerate(row):
            middle = WIDTH * (column + 1) / (len(row) + 1)
            found[box] = (middle, 20 + ROW * index + BOX / 2, HIGH * len(box) + 18)
    return found


def drawing() -> str:
    """The picture, as SVG."""
    rows = boxes()
    at = places(rows)
    return "\n".join([*_head(len(rows)), *_arrows(arrows(rows), at), *_boxes(at), "</svg>\n"])


def _head(count: int) -> Iterator[str]:
    height = 40 + ROW * (count - 1) + BOX
    box = f'viewBox="0 0 {WIDTH} {height}"'
    yield f'<svg xmlns="http://www.w3.org/2000/svg" {box} font-family="monospace" font-size="13">'
    yield f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>'
    yield '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
    yield '<path d="M0 0 L8 4 L0 8 z" fill="#7f7f7f"/></marker></defs>'


def _arrows(ends: list[tuple[str, str]], at: Mapping[str, tuple[float, float, float]]) -> Iterator[str]:
    for source, target in ends:
        (x, y, _), (to_x, to_y, _) = at[source], at[target]
        points = [(x, y + BOX / 2), (to_x, to_y - BOX / 2)]
        bend = WIDTH * 0.045 * (to_y - y - ROW) / ROW  # long arrows go around the boxes between
        side = 1 if x + to_x >= WIDTH else -1
        middle = ((x + to_x) / 2 + side * bend, (y + to_y) / 2)
        (sx, sy), (ex, ey) = points
        curve = f"M{sx:.0f} {sy:.0f} Q{middle[0]:.0f} {middle[1]:.0f} {ex:.0f} {ey:.0f}"
        yield f'<path d="{curve}" fill="none" stroke="#7f7f7f" stroke-width="1.2" marker-end="url(#tip)"/>'


def _boxes(at: Mapping[str, tuple[float, float, float]]) -> Iterator[str]:
    for box, (x, y, width) in at.items():
        color = "#deebf7" if box.endswith("/") else "#f0f0f0"
        yield (
            f'<rect x="{x - width / 2:.0f}" y="{y - BOX / 2:.0f}" width="{width:.0f}" height="{BOX}" rx="5" '
            f'fill="{color}" stroke="#0072B2"/>'
        )
        yield f'<text x="{x:.0f}" y="{y + 4.5:.0f}" text-anchor="middle" fill="#1a1a1a">{escape(box)}</text>'


if __name__ == "__main__":
    IMAGE.write_text(drawing())
