"""The options of the command line, made from the declaration of the configuration.

fields of AlignmentSpec, parameters of methods and ranks --> options --> replaced fields of the spec
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
from causalign.search.rank_notation import RANKS

_NAMES = {"sites": "site"}
"""The names of options that differ from those of their fields. Such an option is repeated for several values."""
_NESTED: Mapping[str, tuple[type[ConfigModel], str]] = {"search": (SearchConfig, ""), "data": (TableSpec, "data_")}
"""The fields that are configurations themselves, with their class and the prefix of their options."""


@dataclass(frozen=True)
class Option:
    """An option of the command line, and the field of the spec that it sets."""

    name: str
    path: tuple[str, ...]
    """The path of the field in the spec."""
    help: str
    flag: bool = False
    """Whether the option takes no value: `--NAME` or `--no-NAME`."""
    repeated: bool = False
    """Whether the option may be repeated for several values."""
    text: bool = False
    """Whether the value is always text, even if it looks like a number or a list."""

    @property
    def parameter(self) -> inspect.Parameter:
        """The parameter of a command for this option."""
        kind: Any = bool if self.flag else list[str] if self.repeated else str
        names = ["--" + self.name.replace("_", "-")]
        if self.name == "site":
            names.append("-s")
        shown = typer.Option(*([] if self.flag else names), help=self.help, metavar=None if self.flag else "VALUE")
        annotation = Annotated[kind | None, shown]
        return inspect.Parameter(self.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)

    def value(self, given: Any) -> Any:
        """Return the value in the form that a spec file has it."""
        if self.flag:
            return given
        if self.repeated:
            return given[0] if len(given) == 1 and self.name == "variable" else tuple(given)
        return given if self.text else value_of(given)


def value_of(text: str) -> Any:
    """Return a number, a list or a table that is written in the notation of TOML. Anything else is text."""
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
    yield from _parameters("rank", RANKS)


def _option(name: str, path: tuple[str, ...], field: FieldInfo) -> Option:
    kinds = str(field.annotation)
    default = field.get_default(call_default_factory=True)
    shown = "" if field.is_required() or default is None or name == "method" else f" [default: {_shown(default)}]"
    return Option(
        name,
        path,
        f"{_plain(field.description or '')}{shown}",
        flag=field.annotation is bool,
        repeated=name in ("site", "variable"),
        text="str" in kinds and "int" not in kinds,
    )


def _parameters(field: str, kinds: tuple[type[Any], ...]) -> Iterator[Option]:
    """Yield an option for each parameter of some classes. Its help is from the first class that has the parameter."""
    owners: dict[str, list[type[Any]]] = {}
    for kind in kinds:
        for each in dataclasses.fields(kind):
            owners.setdefault(each.name, []).append(kind)
    for name, of in owners.items():
        if name == "candidates":  # --rank 16,32
            continue
        named = ", ".join(getattr(kind, "name", kind.__name__) for kind in of)
        flag = any(each.name == name and each.type is bool for each in dataclasses.fields(of[0]))
        yield Option(name, (field, name), f"{_plain(_attribute(of[0], name))} Parameter of {named}.", flag=flag)


def _attribute(kind: type[Any], name: str) -> str:
    """Return the entry of an attribute in the docstring of a class."""
    found = re.search(rf"^ *{name}: (.*?)(?=^ *\w+:|\n\n|\Z)", kind.__doc__ or "", re.DOTALL | re.MULTILINE)
    return " ".join(found[1].split()) if found else ""


def _plain(description: str) -> str:
    """Return a description on one line, without code marks."""
    return " ".join(description.replace("`", "").split())


def _shown(default: Any) -> Any:
    return getattr(default, "declaration", default)


OPTIONS = {option.name: option for option in _options()}
"""All options by name."""


def with_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add an option for each field of a spec to a command, which receives them as `**options`."""
    signature = inspect.signature(command)
    own = [each for each in signature.parameters.values() if each.kind is not inspect.Parameter.VAR_KEYWORD]
    parameters = [*own, *(option.parameter for option in OPTIONS.values())]
    command.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {each.name: each.annotation for each in parameters} | {"return": None}
    return command


def overrides(options: Mapping[str, Any]) -> dict[tuple[str, ...], Any]:
    """Return the fields of a spec that options replace.

    Args:
        options: The values of options by name. Options without a value are left out.

    Returns:
        The values by the path of the field, such as `("search", "max_steps")`.
    """
    return {
        OPTIONS[name].path: OPTIONS[name].value(value)
        for name, value in options.items()
        if value is not None and value != []
    }
