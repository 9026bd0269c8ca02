"""A Sphinx extension for attributes: their heading, docstrings of theirs that have a colon, and those without one."""

from typing import Any

from sphinx.application import Sphinx
from sphinx.domains.python import PyObject

BEFORE_NAPOLEON = 100


def without_type(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:  # noqa: ARG001
    """Let napoleon read the docstring of an attribute as text, by an empty comment in front of it.

    It would take what stands before a colon in the first line as the type. Types are annotations here.
    """
    if what in ("attribute", "property", "data"):
        lines[:0] = ["..", ""]


def unexplained(app: Sphinx, what: str, name: str, obj: Any, skip: bool, options: Any) -> bool | None:  # noqa: ARG001
    """Leave out the fields of a named tuple that have only the docstring that Python gives them."""
    return True if (getattr(obj, "__doc__", None) or "").startswith("Alias for field number") else None


def setup(app: Sphinx) -> dict[str, bool]:
    """Add the extension to Sphinx, and head attributes by *Attributes*.

    Sphinx heads them by *Variables*, which is the word for causal variables here.
    """
    for field in PyObject.doc_field_types:
        if field.name == "variable":
            field.label = "Attributes"
    app.connect("autodoc-process-docstring", without_type, priority=BEFORE_NAPOLEON)
    app.connect("autodoc-skip-member", unexplained)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
