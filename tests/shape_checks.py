"""Shapes and types that are checked at run time: every annotation of the package is enforced in the tests.

The decorator of jaxtyping's import hook checks the arguments of a call twice and binds them to the signature, which
took half of the time of all tests. This one lets beartype check them once, in a context of jaxtyping's where shapes are
annotated.
"""

import functools
import inspect
import warnings
from collections.abc import Callable
from dataclasses import is_dataclass
from typing import Any, get_args
from unittest.mock import patch

import jaxtyping
from beartype import BeartypeConf, beartype
from jaxtyping import AbstractArray, install_import_hook

_jaxtyped = jaxtyping.jaxtyped
_by_beartype = beartype(conf=BeartypeConf(is_pep484_tower=True))  # an int where a float is asked for, as for mypy


def check_shapes(package: str) -> None:
    """Check the calls of all functions, and the fields of all dataclasses, of a package that is not imported yet.

    The hook stays: modules are imported when they are first used.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        install_import_hook(package, "beartype.beartype")
    patch("jaxtyping.jaxtyped", lambda typechecker: checked).start()


def checked(what: Any) -> Any:
    """Return a function, a descriptor or a dataclass whose calls are checked."""
    if inspect.isclass(what):
        if is_dataclass(what):
            setattr(what, "__init__", checked(what.__init__))  # noqa: B010 (mypy allows no assignment to a method)
        return what
    if isinstance(what, classmethod | staticmethod):
        return type(what)(checked(what.__func__))
    if isinstance(what, property):
        return property(*(each and checked(each) for each in (what.fget, what.fset, what.fdel)))
    if getattr(what, "__no_type_check__", False):
        return what

    @functools.cache
    def by_type() -> Callable[..., Any]:
        return _checked_function(what)

    @functools.wraps(what)
    def call(*args: Any, **kwargs: Any) -> Any:
        return by_type()(*args, **kwargs)  # once its module is imported, so that names in quotes are known

    return call


def _checked_function(function: Callable[..., Any]) -> Callable[..., Any]:
    annotations = function.__annotations__ = {
        name: _resolved(each, function.__globals__) for name, each in function.__annotations__.items()
    }
    if not _has_shape(*annotations.values()):
        return _by_beartype(function)
    if inspect.isgeneratorfunction(function):  # its arguments would be checked in the context of who asks for a value
        return _jaxtyped(function, typechecker=_by_beartype)
    in_context = _by_beartype(function)

    def within(*args: Any, **kwargs: Any) -> Any:
        with _jaxtyped("context"):  # in which a name of a dimension stands for one size
            return in_context(*args, **kwargs)

    return within


def _resolved(annotation: Any, names: dict[str, Any]) -> Any:
    """Return an annotation that is written in quotes. Names that are imported for type checkers alone are unknown."""
    if not isinstance(annotation, str):
        return annotation
    try:
        return eval(annotation, names)
    except NameError:
        return Any


def _has_shape(*annotations: Any) -> bool:
    """Whether an annotation, or a part of one, has a shape."""
    return any(
        (inspect.isclass(each) and issubclass(each, AbstractArray))
        or (isinstance(each, list | tuple) and _has_shape(*each))
        or _has_shape(*get_args(each))
        for each in annotations
    )
