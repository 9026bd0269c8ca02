"""The table of a reproduction: the paper's numbers beside ours, with error bars, controls and verdicts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from causalign.reproduction.paper import CITED, cited
from causalign.reproduction.points import AlignmentOutcome, Outcome
from causalign.reproduction.study import Claim, Study, StudyRow, Values, sem
from causalign.search.stop_reason import StopReason

COLUMNS = ("figure", "panel", "comparison", "site", "metric", "paper", "ours", "sem", "n", "verdict")
_DEPARTURES = ("outside", "outside_natural", "energy", "energy_natural")
_NEARLY = 0.02  # by so much may means of IIA differ and be alike, as in the claims
BORNE_OUT, NOT_BORNE_OUT, LEFT_OUT = "borne out", "not borne out", "left out"


@dataclass(frozen=True)
class Verdict:
    """What a rule says of a claim."""

    figure: str
    claim: Claim
    holds: bool
    reached: int
    """How many of its rows a control reaches as well: there the score alone does not bear it out."""


def judged(study: Study, measured: Sequence[StudyRow], outcomes: Mapping[str, Outcome]) -> list[Verdict]:
    """Every claim of a study, by its rule, but for those about rows that were not asked for (of fewer ranks, say)."""
    values = Values(measured, outcomes)
    reached = [row for row in measured if _reached(row, outcomes)]
    asked = [claim for claim in study.claims if any(map(claim.rows, measured))]
    return [Verdict(study.name, claim, claim.holds(values), sum(map(claim.rows, reached))) for claim in asked]


def _reached(measured: StudyRow, outcomes: Mapping[str, Outcome]) -> list[str]:
    """The controls that come up to a score in the same directions."""
    controls = measured.controls(outcomes)
    return [name for name, (control, same) in controls.items() if control >= same - _NEARLY]


def table(
    study: Study, measured: Sequence[StudyRow], outcomes: Mapping[str, Outcome], verdicts: Sequence[Verdict]
) -> pd.DataFrame:
    """One row a metric of a comparison: `COLUMNS`, then controls, departures, and what it took.

    `relation` is `>` where the paper gives a bound, `pairs` has the figure of each pair, and `files` its comparison;
    `no_swap` is the floor, the score in those directions without a swap. A row carries the verdict of its claims:
    borne out if all of them are. `reached` names the controls that come up to the score in the same directions, but for
    0.02; an untrained network has those into the others, where the score is `ours_into_others`. `outside` and `energy`
    are means over pairs and directions, and so are those of held-out natural states. `seconds` are of all pairs and
    ranks, one after another, without the controls, which have `control_seconds`.
    """
    rows = [_row(study, each, outcomes, verdicts) for each in measured]
    named = {tuple(row[name] for name in COLUMNS[:5]) for row in rows}
    for cited_row, number in CITED.items():
        if cited_row[0] == study.name and cited_row not in named:
            rows.append(
                {
                    **dict(zip(COLUMNS, cited_row, strict=False)),
                    "paper": number.value,
                    "relation": number.relation,
                    "verdict": LEFT_OUT,
                }
            )
    return pd.DataFrame(rows)


def _row(
    study: Study, measured: StudyRow, outcomes: Mapping[str, Outcome], verdicts: Sequence[Verdict]
) -> dict[str, object]:
    values, controls = measured.values(outcomes), measured.controls(outcomes)
    paper = cited(study.name, *measured.name)
    held = [verdict.holds for verdict in verdicts if verdict.claim.rows(measured)]
    found = [outcomes[each.key] for each in measured.comparisons]
    return {
        **dict(zip(COLUMNS, (study.name, *measured.name), strict=False)),
        "paper": None if paper is None else paper.value,
        "relation": None if paper is None else paper.relation,
        "ours": values.mean(),
        "sem": sem(values),
        "n": len(values),
        "verdict": measured.note if not held else BORNE_OUT if all(held) else NOT_BORNE_OUT,
        "pairs": " ".join(f"{value:.4g}" for value in values),
        "no_swap": measured.no_swap(outcomes),
        **{f"control_{name}": control for name, (control, _) in controls.items()},
        **({"ours_into_others": controls["untrained"][1]} if "untrained" in controls else {}),
        "reached": ", ".join(_reached(measured, outcomes)),
        **_about([each for each in found if isinstance(each, AlignmentOutcome)]),
        "seconds": sum(each.seconds for each in found),
        "files": " ".join(f"{each.key}.json" for each in measured.comparisons),
    }


def _about(found: Sequence[AlignmentOutcome]) -> dict[str, object]:
    """How the alignments of a row were come by, and how far their swaps leave the natural states."""
    if not found:
        return {}
    naturalness = pd.DataFrame([dict(each) for outcome in found for each in outcome.record.naturalness])
    return {
        **{name: float(naturalness[name].mean()) for name in _DEPARTURES},
        "rank": " ".join(str(outcome.record.rank) for outcome in found),
        "steps": " ".join(str(outcome.record.steps) for outcome in found),
        "cut_off": sum(outcome.record.stopped == StopReason.MAX_STEPS for outcome in found),
        "control_seconds": sum(outcome.control_seconds for outcome in found),
    }
