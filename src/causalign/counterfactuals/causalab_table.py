"""Counterfactual datasets of causalab: rows with an `input` and its `counterfactual_inputs`, as text or as settings.

A setting is a mapping of the variables of a causal model to their values, with the prompt as `raw_input` and the answer
as `raw_output`. Tables that are written to JSON have the prompts themselves, and the variables beside them.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from causalign.errors import InvalidArgument

INPUT, SOURCES, VARIABLES = "input", "counterfactual_inputs", "counterfactual_inputs_variables"
_PROMPT, _ANSWER = "raw_input", "raw_output"


def is_causalab(columns: Mapping[str, Any]) -> bool:
    """Return whether columns are those of a counterfactual dataset of causalab."""
    return INPUT in columns and SOURCES in columns


def readable_columns(columns: Mapping[str, Sequence[Any]]) -> dict[str, list[Any]]:
    """Return the columns of a counterfactual dataset of causalab, as `Counterfactuals.from_table` takes them.

    | column | content |
    | --- | --- |
    | `target` | the prompt of `input` |
    | `source` | the prompt of the counterfactual input |
    | `label` | the answer that is expected after the interchange |
    | `base_answer`, `cf_answer` | the answers to the two prompts with nothing swapped |
    | `target.NAME`, `source.NAME` | the value of a variable in each of them |

    Other columns are kept under their names, which must be others than `target` and `source`. Lists of accepted answers
    (`label_forms`) become sets.

    Args:
        columns: The columns, among them `input` and `counterfactual_inputs`.

    Raises:
        InvalidArgument: A row has no counterfactual input or several, or an input without a prompt; or there is a
            column `target` or `source` beside them.
    """
    for name in ("target", "source"):
        if name in columns:
            raise InvalidArgument(
                f"the table has {INPUT} and {SOURCES}, as causalab's datasets have, and a column {name!r}, which the "
                "prompts of these are called: rename it, or take the other two out"
            )
    rows = range(len(columns[INPUT]))
    sources = [_only(columns[SOURCES][row], row) for row in rows]
    found: dict[str, list[Any]] = {
        "target": [_prompt(columns[INPUT][row], INPUT, row) for row in rows],
        "source": [_prompt(sources[row], SOURCES, row) for row in rows],
        **_settings("target", columns[INPUT]),
        **_settings("source", sources),
    }
    if VARIABLES in columns:
        found |= _settings("source", [_only(columns[VARIABLES][row], row) for row in rows])
    for name, answer in ((f"target.{_ANSWER}", "base_answer"), (f"source.{_ANSWER}", "cf_answer")):
        if name in found:
            found[answer] = found.pop(name)
    for name, column in columns.items():
        if name not in (INPUT, SOURCES, VARIABLES):
            found[name] = [_value(each, name.endswith("_forms")) for each in column]
    return found


def _settings(end: str, inputs: Sequence[Any]) -> dict[str, list[Any]]:
    """Return the variables of settings, one column for each that all rows have."""
    if not all(isinstance(each, Mapping) for each in inputs):
        return {}
    names = [name for name in inputs[0] if name != _PROMPT and all(name in each for each in inputs)]
    return {f"{end}.{name}": [each[name] for each in inputs] for name in names}


def _only(sources: Any, row: int) -> Any:
    if isinstance(sources, str | Mapping) or not hasattr(sources, "__len__") or len(sources) != 1:
        count = len(sources) if hasattr(sources, "__len__") and not isinstance(sources, str | Mapping) else "no list of"
        raise InvalidArgument(f"row {row}: {SOURCES} holds one input, which the activation is from; found {count}")
    return sources[0]


def _prompt(setting: Any, column: str, row: int) -> Any:
    if not isinstance(setting, Mapping):
        return setting
    if not isinstance(setting.get(_PROMPT), str):
        raise InvalidArgument(
            f"row {row}: the setting in {column} has no {_PROMPT}; found {', '.join(map(str, setting)) or 'nothing'}"
        )
    return setting[_PROMPT]


def _value(value: Any, forms: bool) -> Any:
    """Return an answer: a setting stands for its answer, and accepted forms for a set."""
    if isinstance(value, Mapping) and _ANSWER in value:
        return value[_ANSWER]
    return frozenset(value) if forms and isinstance(value, Iterable) and not isinstance(value, str) else value
