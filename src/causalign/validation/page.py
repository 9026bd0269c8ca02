"""The page of a validation, in Markdown: what was known, what was found, and how often the verdict is wrong."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from causalign.alignment.verdict_rule import KnownRates
from causalign.validation.drawn_pair import RELATIONS
from causalign.validation.problems.registry import PROBLEMS

PAGE = "validation.md"


def page(problems: pd.DataFrame, rates: pd.DataFrame, naturalness: pd.DataFrame, known: KnownRates) -> str:
    """Return the page: a heading and a table for each section of `sections`."""
    parts = [f"## {name}\n\n{text}" for name, text in sections(problems, rates, naturalness, known).items()]
    return "# Validation\n\n" + "\n".join(parts)


def sections(
    problems: pd.DataFrame, rates: pd.DataFrame, naturalness: pd.DataFrame, known: KnownRates
) -> Mapping[str, str]:
    """Return the tables of the page in Markdown, by the name of the section."""
    return {
        "Known answers": _problems(problems),
        "Wrong answers": _wrong(problems),
        "Relations": _markdown(
            ["relation", "interchangeable", "networks"],
            [(each.name, "yes" if each.interchangeable else "no", each.statement) for each in RELATIONS.values()],
        ),
        "Rule": _rule(known),
        "Error rates": _rates(rates),
        "Natural states": _naturalness(naturalness),
    }


def _problems(table: pd.DataFrame) -> str:
    head = ["problem", "known", "IIA", "95 % interval", "no swap", "untrained", "angle", "checks", "verdict"]
    rows = []
    for each in _records(table):
        ceiling = "" if pd.isna(each["ceiling"]) or each["ceiling"] == 1 else f", at most {each['ceiling']:.2f}"
        rows.append(
            (
                each["problem"],
                _short(each["known"]) + ceiling,
                f"{each['worst_iia']:.3f}",
                f"{each['ci_low']:.3f} to {each['ci_high']:.3f}",
                f"{each['no_swap']:.3f}",
                f"{each['control_untrained']:.3f}",
                "" if pd.isna(each["largest_angle"]) else f"{each['largest_angle']:.1f}°",
                each["checks"],
                _short(each["verdict"]) + (" **(wrong)**" if each["outcome"] == "wrong" else ""),
            )
        )
    statements = [f"* **{name}**: {problem.statement}" for name, problem in PROBLEMS.items()]
    return _markdown(head, rows) + "\n" + "\n".join(statements) + "\n"


def _wrong(table: pd.DataFrame) -> str:
    wrong = table[table["outcome"] != "right"]
    if not len(wrong):
        return f"Nothing: all {len(table)} verdicts are right, and so are the checks.\n"
    return "".join(f"* **{name}**: {PROBLEMS[name].statement}\n" for name in dict.fromkeys(wrong["problem"]))


def _rule(known: KnownRates) -> str:
    return (
        f"Interchangeable: the lower end of the interval of the worst IIA is at least {known.rule.yes_from:.2f}, and "
        f"the score exceeds no swap, shuffled outputs and random subspaces at the 5 % level. Not interchangeable: the "
        f"upper end is below {known.rule.no_below:.2f}. Otherwise undecided.\n\n"
        f"Of pairs that cannot be interchanged, {known.false_yes} were called interchangeable. Of pairs that can, "
        f"{known.false_no} were called not interchangeable.\n"
    )


def _rates(table: pd.DataFrame) -> str:
    head = [
        "rank",
        "rows",
        "steps",
        "can",
        "called so",
        "undecided",
        "wrong",
        "cannot",
        "called so",
        "undecided",
        "wrong",
    ]
    return _markdown(head, [tuple(str(value) for value in row) for row in table.itertuples(index=False)])


def _naturalness(table: pd.DataFrame) -> str:
    head = ["latent weight", "networks", "IIA", "IIA of held-out values", "energy distance", "of natural states",
            "variance outside", "of natural states"]  # fmt: skip
    rows = [
        (f"{weight:g}", str(int(networks)), *(f"{value:.3f}" for value in values))
        for weight, networks, *values in table.to_numpy(dtype=float)
    ]
    return _markdown(head, rows)


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]


def _short(answer: str) -> str:
    return {"interchangeable": "yes", "not interchangeable": "no"}.get(answer, answer)


def _markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(each)} |" for each in (head, ["---"] * len(head), *rows)]
    return "\n".join(lines) + "\n"
