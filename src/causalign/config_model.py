"""The base of every configuration: a frozen pydantic model whose errors are one line."""

import inspect
import textwrap
from collections.abc import Callable, Mapping
from typing import Any, TypeGuard, TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from causalign.errors import invalid, unknown

Model = TypeVar("Model", bound="ConfigModel")


class ConfigModel(BaseModel):
    """A frozen set of fields, each declared once: with its type, its bounds, its default and its docstring.

    A subclass is read from keyword arguments, from a TOML or JSON file and from the command line alike, and is written
    into results. Docstrings of fields become their descriptions in the JSON schema.

    Raises:
        InvalidArgument: A field is unknown (its near matches are named), missing, or has a wrong value.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )

    def __init__(self, **fields: Any) -> None:
        try:
            super().__init__(**fields)
        except ValidationError as error:
            raise invalid(type(self).__name__, error) from None

    __init__.__pydantic_base_init__ = True  # type: ignore[attr-defined]  # so that errors within a model are named by path

    @model_validator(mode="before")
    @classmethod
    def _known_plain_fields(cls, fields: Any) -> Any:
        """Refuse unknown fields with their near matches, and take numpy's scalars for Python's."""
        if not isinstance(fields, Mapping):
            return fields
        for name in fields:
            if name not in cls.model_fields:
                raise unknown(f"field of {cls.__name__}", str(name), cls.model_fields)
        return {name: value.item() if isinstance(value, np.generic) else value for name, value in fields.items()}

    @classmethod
    def read(cls: type[Model], fields: Mapping[str, Any], origin: str) -> Model:
        """Return the configuration with these fields.

        Args:
            fields: The fields, as a TOML or JSON file has them.
            origin: Where they are from, for errors: the name of a file, or `"the command line"`.

        Raises:
            InvalidArgument: A field is unknown or wrong; `origin` is named.
        """
        try:
            return cls.model_validate(dict(fields))
        except ValidationError as error:
            raise invalid(origin, error) from None

    def replace(self: Model, **fields: Any) -> Model:
        """Return a copy with these fields changed, and checked like the rest.

        A mapping for a field that is a configuration itself changes the fields that it names.
        """
        changed = {name: getattr(self, name) for name in type(self).model_fields}
        for name, value in fields.items():
            nested = changed.get(name)
            changed[name] = nested.replace(**value) if _nested(nested, value) else value
        return type(self)(**changed)


def _nested(value: object, change: object) -> TypeGuard[ConfigModel]:
    return isinstance(value, ConfigModel) and isinstance(change, Mapping)


Function = TypeVar("Function", bound=Callable[..., Any])


def with_fields(model: type[ConfigModel]) -> Callable[[Function], Function]:
    """Show the fields of a model as keyword arguments of a function that takes them as `**fields`.

    The signature and the docstring of the function then say what the model declares. In the docstring, the line that
    begins with `**fields:` is replaced by an entry for each field.
    """

    def decorate(function: Function) -> Function:
        signature = inspect.signature(function)
        own = [each for each in signature.parameters.values() if each.kind is not inspect.Parameter.VAR_KEYWORD]
        shown = [
            each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in inspect.signature(model).parameters.values()
        ]
        function.__signature__ = signature.replace(parameters=[*own, *shown])  # type: ignore[attr-defined]
        function.__doc__ = _with_entries(function.__doc__ or "", model)
        return function

    return decorate


def _with_entries(docstring: str, model: type[ConfigModel]) -> str:
    lines = []
    for line in docstring.splitlines():
        if not line.strip().startswith("**fields:"):
            lines.append(line)
            continue
        indent = line[: len(line) - len(line.lstrip())]
        for name, field in model.model_fields.items():
            entry = f"{name}: {' '.join((field.description or '').split())}"
            wrapped = textwrap.wrap(entry, 120, initial_indent=indent, subsequent_indent=indent + 4 * " ")
            lines += wrapped
    return "\n".join(lines)
