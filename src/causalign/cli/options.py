"""Command-line options, made from the one declaration of a configuration.

fields of AlignmentSpec, parameters of methods and ranks --> options --> what they replace in the spec
"""

import dataclasses
import inspect
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import typer
from pydantic.fields import FieldInfo

from causalign.alignment.spec import AlignmentSpec
from causalign.alignment.table_spec import TableSpec
from causalign.config_model import ConfigModel
from causalign.methods.registry import METHODS
from causalign.search.config import SearchConfig
from causalign.search.rank_selection import BestRank, SmallestRank

_NAMES = {"sites": "site"}
"""Fields whose option is given once for each of several values, and its name."""
_NESTED: Mapping[str, tuple[type[ConfigModel], str]] = {"search": (SearchConfig, ""), "data": (TableSpec, "data_")}
"""Fields that are configurations themselves, and what stands before the names of their options."""
_RANKS = (BestRank, SmallestRank)


@dataclass(frozen=True)
class Option:
    """An option of the command line, and the field of the spec that it sets."""

    name: str
    path: tuple[str, ...]
    help: str
    flag: bool = False
    repeated: bool = False
    text: bool = False
    """Whether the value is text whatever it looks like."""

    @property
    def parameter(self) -> inspect.Parameter:
        """The parameter of a command that has this option."""
        kind: Any = bool if self.flag else list[str] if self.repeated else str
        names = ["--" + self.name.replace("_", "-")]
        if self.name == "site":
            names.append("-s")
        shown = typer.Option(*([] if self.flag else names), help=self.help, metavar=None if self.flag else "VALUE")
        annotation = Annotated[kind | None, shown]
        return inspect.Parameter(self.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)

    def value(self, given: Any) -> Any:
        """The value as a file would have it."""
        if self.flag:
            return given
        if self.repeated:
            return given[0] if len(given) == 1 and self.name == "variable" else tuple(given)
        return given if self.text else _parsed(given)


def _parsed(text: str) -> Any:
    """A number, a list or a table in TOML's notation; anything else is text."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _options() -> Iterator[Option]:
    for name, field in AlignmentSpec.model_fields.items():
        if name in _NESTED:
            model, before = _NESTED[name]
            for inner, its in model.model_fields.items():
                yield _option(before + inner, (name, inner), its)
        else:
            yield _option(_NAMES.get(name, name), (name,), field)
    yield from _parameters("method", tuple(METHODS.values()))
    yield from _parameters("rank", _RANKS)


def _option(name: str, path: tuple[str, ...], field: FieldInfo) -> Option:
    kinds = str(field.annotation)
    default = field.get_default(call_default_factory=True)
    shown = "" if field.is_required() or default is None or name == "method" else f" [{_shown(default)}]"
    return Option(
        name,
        path,
        f"{_plain(field.description or '')}{shown}",
        flag=field.annotation is bool,
        repeated=name in ("site", "variable"),
        text="str" in kinds and "int" not in kinds,
    )


def _parameters(field: str, kinds: tuple[type[Any], ...]) -> Iterator[Option]:
    """The parameters of some classes, each once, with the first docstring that describes it."""
    owners: dict[str, list[type[Any]]] = {}
    for kind in kinds:
        for each in dataclasses.fields(kind):
            owners.setdefault(each.name, []).append(kind)
    for name, of in owners.items():
        if name == "candidates":  # --rank 16,32
            continue
        named = ", ".join(getattr(kind, "name", kind.__name__) for kind in of)
        flag = any(each.name == name and each.type is bool for each in dataclasses.fields(of[0]))
        yield Option(name, (field, name), f"{_plain(_attribute(of[0], name))} Of {named}.", flag=flag)


def _attribute(kind: type[Any], name: str) -> str:
    """What the docstring of a class says of an attribute."""
    found = re.search(rf"^ *{name}: (.*?)(?=^ *\w+:|\n\n|\Z)", kind.__doc__ or "", re.DOTALL | re.MULTILINE)
    return " ".join(found[1].split()) if found else ""


def _plain(description: str) -> str:
    """A description without marks of code, on one line."""
    return " ".join(description.replace("`", "").split())


def _shown(default: Any) -> Any:
    return getattr(default, "declaration", default)


OPTIONS = {option.name: option for option in _options()}
"""Every option by its name."""


def with_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command an option for each field; it takes those that are given as `**options`."""
    signature = inspect.signature(command)
    own = [each for each in signature.parameters.values() if each.kind is not inspect.Parameter.VAR_KEYWORD]
    parameters = [*own, *(option.parameter for option in OPTIONS.values())]
    command.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {each.name: each.annotation for each in parameters} | {"return": None}
    return command


def overrides(options: Mapping[str, Any]) -> dict[tuple[str, ...], Any]:
    """Return what the options that are given replace in a spec, by the path of the field."""
    return {
        OPTIONS[name].path: OPTIONS[name].value(value)
        for name, value in options.items()
        if value is not None and value != []
    }
