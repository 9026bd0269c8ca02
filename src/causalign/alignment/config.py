"""The configuration of an alignment: the one declaration of its arguments.

The Python call, TOML and JSON files, the command line and `result.json` all read these fields.
"""

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema, field_validator
from pydantic import InstanceOf as Instance

from causalign.config_model import ConfigModel
from causalign.errors import InvalidArgument, lookup, unknown
from causalign.maps import DEFAULT, PARAMETRIZATIONS
from causalign.methods.base import Method
from causalign.methods.mas import MAS
from causalign.methods.registry import SHORTHANDS, method_of
from causalign.search.config import SearchConfig
from causalign.search.rank_notation import AUTO, BOUNDARY, rank_selection_of
from causalign.search.rank_selection import FixedRank, RankSelection
from causalign.tasks.variable import FULL, Variable

CLOSED_FORM = "closed-form"
STARTS = (CLOSED_FORM, "paired", "random")
FEATURES = "features"
"""The start of a method that swaps features which it does not train."""
SAVED: Mapping[str, bool] = {"saved": True}
"""The validation context in which a method of an unknown class is read rather than refused."""


def _method(given: object, info: Any) -> Method:  # a ValidationInfo, which is not checkable
    method = method_of(given, saved=bool(info.context and info.context.get("saved")))
    for name, value in method.parameters.items():
        try:
            json.dumps(value, allow_nan=False)
        except (TypeError, ValueError):
            raise InvalidArgument(
                f"the parameter {name} of {method.label} cannot be written into a result: {value!r} is not of JSON"
            ) from None
    return method


def _variable(given: object) -> object:
    """The name of a variable, or a tuple of names, each of a form that names one."""
    if isinstance(given, list | tuple):
        return tuple(str(Variable.of(each)) for each in given)
    return str(Variable.of(given)) if isinstance(given, str | Variable) else given


def _holdout_values(given: object) -> object:
    """Values, or a mapping of a variable to values; `None` for no value."""
    if isinstance(given, Mapping):
        return {name: tuple(each) if isinstance(each, list) else each for name, each in given.items()}
    return () if given is None else tuple(given) if isinstance(given, list) else given


_METHOD_SCHEMA = {
    "anyOf": [
        {"enum": list(SHORTHANDS)},
        {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}},
    ]
}
_BLOCKS: dict[str, Any] = {
    "type": "object",
    "additionalProperties": {"type": "integer", "minimum": 1},
    "minProperties": 1,
}
_RANK_SCHEMA: dict[str, Any] = {
    "anyOf": [
        {"type": "integer", "minimum": 1},
        {"type": "array", "items": {"type": "integer", "minimum": 1}, "minItems": 1},
        {"const": AUTO},
        {"const": BOUNDARY},
        {
            "type": "object",
            "required": ["candidates"],
            "properties": {"candidates": {"type": "array"}, "trial_steps": {"type": "integer"}},
            "additionalProperties": False,
        },
        {"type": "object", "required": ["tolerance"], "properties": {"tolerance": {"type": "number"}}},
        {
            "type": "object",
            "properties": {
                "max_rank": {"type": ["integer", "null"]},
                "boundary_weight": {"type": "number"},
                "boundary_steps": {"type": ["integer", "null"]},
                "boundary_temperatures": {"type": ["array", "null"], "items": {"type": "number"}},
            },
            "minProperties": 1,
            "additionalProperties": False,
        },
        {"type": "object", "required": ["blocks"], "properties": {"blocks": _BLOCKS}, "additionalProperties": False},
        _BLOCKS,
    ]
}

MethodField = Annotated[
    Instance[Method],
    BeforeValidator(_method),
    PlainSerializer(lambda method: method.parameters),
    WithJsonSchema(_METHOD_SCHEMA),
]
RankField = Annotated[
    Instance[RankSelection],
    BeforeValidator(rank_selection_of),
    PlainSerializer(lambda selection: selection.declaration),
    WithJsonSchema(_RANK_SCHEMA),
]


class AlignmentConfig(ConfigModel):
    """The configuration of an alignment: every argument of `align` but its data and its callbacks."""

    variable: Annotated[str | tuple[str, ...], BeforeValidator(_variable)] = FULL
    """The variable that is swapped: `full`, a variable of the task such as `count`, or some of its values,
    `count[1..10]`. Several name one for each site. Only for rows that are drawn from tasks. By default `full`, or the
    variables that `rank` names."""
    method: MethodField = MAS()
    """The method: an object such as `MAS(latent_weight=1)`, a table of its name and parameters, or a name: `mas`,
    `mas-stepwise`, `clmas`, `das`, `das-stepwise`, `dbm`, `dbm-pca`, `stitch`, `latent-stitch` or `procrustes`."""
    rank: RankField = FixedRank(16)
    """The dimensions of the aligned subspace: a number; several, of which the best on validation is taken
    (`BestRank`); `auto`, the smallest within a tolerance of the best (`SmallestRank`); `boundary`, which is learned by
    gradient descent (`BoundaryRank`); or, of several variables at once, one for each, `answer=8,carry=4` (`Blocks`).
    The method `dbm` finds its own."""
    subspace_per_position: bool = False
    """Whether each of several positions of a row has a subspace of its own, all of the same rank. By default they share
    one."""
    parametrization: str = DEFAULT
    """The parametrization of the maps: `gram-schmidt`, `expm`, `cayley` or `householder`."""
    scale: bool = True
    """Whether each map has a trained positive scalar."""
    start: Literal["closed-form", "paired", "random"] | None = None
    """The maps to begin at: `closed-form` (generalized Procrustes on the mean states of each value, or label), `paired`
    (on states of the same inputs) or `random`. By default `closed-form`, or `random` where the data have no classes. A
    method that only is its start has its own."""
    controls: bool = False
    """Whether to score the controls as well: the same search with the first network untrained, with shuffled
    counterfactuals, and a random subspace. They take two more searches of as many steps."""
    seed: int = Field(default=0, ge=0)
    """The seed of all random draws. The same seed gives the same alignment on the same machine and threads."""
    n_train: int = Field(default=10_000, ge=1)
    """Rows of each direction that are trained on. Only for rows that are drawn from tasks."""
    n_validation: int = Field(default=1_000, ge=1)
    """Rows of each direction by which the best step is chosen. Only for rows that are drawn from tasks."""
    n_test: int = Field(default=1_000, ge=1)
    """Rows of each direction that are scored. Only for rows that are drawn from tasks."""
    holdout_values: Annotated[tuple[int, ...] | dict[str, tuple[int, ...]], BeforeValidator(_holdout_values)] = ()
    """Values of the variable that no training, validation or test row has, `[4, 9]`; of one of several that are swapped
    together, `{count = [4, 9]}`. They are scored by themselves. Only for rows that are drawn from tasks."""
    search: SearchConfig = SearchConfig()
    """How the search runs."""
    memory: float | None = Field(default=None, ge=0)
    """GiB that stored activations and rows may take; what exceeds it lies in temporary files. By default 4, or what the
    dataset was made with."""

    @field_validator("start", mode="before")
    @classmethod
    def _known_start(cls, start: object) -> object:
        if start is not None and start not in STARTS:
            raise unknown("start", str(start), STARTS)
        return start

    @field_validator("parametrization")
    @classmethod
    def _known_parametrization(cls, name: str) -> str:
        lookup("parametrization", name, PARAMETRIZATIONS)
        return name


DRAWN = ("variable", "n_train", "n_validation", "n_test", "holdout_values")
"""The fields that only say how rows are drawn from tasks."""
