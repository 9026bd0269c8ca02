"""A Sphinx extension that shows the types of configurations without what pydantic needs to check them.

`Annotated[Method, BeforeValidator(...), ...]` is shown as `Method`: in the fields of models, and in the signatures of
the functions that take these fields as arguments.
"""

import inspect
from typing import Annotated, Any, get_origin, get_type_hints

from pydantic import BaseModel
from sphinx.application import Sphinx

import causalign


def plain(annotation: Any) -> Any:
    """Return the type that an annotation is about."""
    return annotation.__origin__ if get_origin(annotation) is Annotated else annotation


def simplify_function(function: Any) -> None:
    """Make the types of a function's signature plain."""
    signature = function.__signature__
    parameters = [each.replace(annotation=plain(each.annotation)) for each in signature.parameters.values()]
    function.__signature__ = signature.replace(parameters=parameters)


def simplify_model(model: type[BaseModel]) -> None:
    """Make the types of a model's fields plain. The model itself has read them before."""
    hints = get_type_hints(model, include_extras=True)
    model.__annotations__ = {name: plain(hints[name]) for name in model.__annotations__}


def simplify(_: Sphinx) -> None:
    """Make the types of all public names plain, in the process that builds the documentation."""
    for value in (getattr(causalign, name) for name in causalign.__all__):
        if isinstance(value, type) and issubclass(value, BaseModel):
            simplify_model(value)
        elif inspect.isfunction(value) and hasattr(value, "__signature__"):
            simplify_function(value)


def setup(app: Sphinx) -> dict[str, bool]:
    """Add the extension to Sphinx."""
    app.connect("builder-inited", simplify)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
