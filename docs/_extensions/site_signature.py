"""A Sphinx extension that shows how `Site` is called: its metaclass hands every argument on to `open_place`."""

import inspect
from typing import Any

from sphinx.application import Sphinx
from sphinx.util.inspect import stringify_signature

from causalign.sites.modules.opener import open_place

ARGUMENTS = stringify_signature(inspect.signature(open_place), show_annotation=False, show_return_annotation=False)


def signature(app: Sphinx, what: str, name: str, *_: Any) -> tuple[str, None] | None:  # noqa: ARG001
    """Return the arguments that open a place. `None` leaves all other signatures as they are."""
    return (ARGUMENTS, None) if name == "causalign.Site" else None


def setup(app: Sphinx) -> dict[str, bool]:
    """Add the extension to Sphinx."""
    app.connect("autodoc-process-signature", signature)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
