"""A hash of the sources that results depend on, so that a stored result is not taken for one of other code."""

import ast
import hashlib
from functools import cache
from pathlib import Path

_ROOT = Path(__file__).parent
_WITHOUT = ("cli", "reproduction", "benchmarks", "validation", "report", "planning")  # rooms that no result depends on


@cache
def source_hash() -> str:
    """Return 16 hexadecimal digits that change with the code that computes results.

    Comments, docstrings and layout do not change them; nor do the command line, figures and pages.
    """
    digest = hashlib.sha256()
    for path in sorted(_ROOT.rglob("*.py")):
        room = path.relative_to(_ROOT).parts[0]
        if room not in _WITHOUT:
            digest.update(path.relative_to(_ROOT).as_posix().encode())
            digest.update(_code(path.read_text(encoding="utf-8")).encode())
    return digest.hexdigest()[:16]


def _code(text: str) -> str:
    """The syntax tree of a source text, without its docstrings."""
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            node.body = [each for each in node.body if not _is_text(each)] or [ast.Pass()]
    return ast.dump(tree)


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
