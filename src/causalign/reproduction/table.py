"""The table of a reproduction: the paper's numbers beside ours, with standard errors, controls and verdicts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from causalign.alignment.schema import AlignmentSummary
from causalign.reproduction.paper import CITED, cited
from causalign.reproduction.study import Claim, Study, StudyRow, Values
from causalign.scoring.crossed_pairs import pair_mean
from causalign.search.stop_reason import StopReason
from causalign.sweep.point import Outcome, SimilarityMeasures

COLUMNS = ("figure", "panel", "comparison", "site", "metric", "paper", "ours", "sem", "n", "verdict")
_DEPARTURES = ("outside", "outside_natural", "energy", "energy_natural")
_COMPLEMENT = ("complement", "whole_swap")
_NEARLY = 0.02  # largest difference of two mean IIAs that count as alike, as in the claims
BORNE_OUT, NOT_BORNE_OUT, LEFT_OUT = "borne out", "not borne out", "left out"


@dataclass(frozen=True)
class Verdict:
    """The verdict on a claim.

    Attributes:
        figure: The name of the study.
        claim: The claim.
        holds: Whether the values support the claim, by its rule.
        reached: The number of the claim's rows whose score a control reaches as well. There the score alone does not
            support the claim.
    """

    figure: str
    claim: Claim
    holds: bool
    reached: int


def judge(study: Study, measured: Sequence[StudyRow], outcomes: Mapping[str, Outcome]) -> list[Verdict]:
    """Return the verdict on every claim of a study.

    Claims that are about none of the measured rows are left out. An example is a claim about a rank that was not run.

    Args:
        study: The study.
        measured: Its rows.
        outcomes: The outcomes of their comparisons, by key.
    """
    values = Values(measured, outcomes)
    reached = [row for row in measured if _reached(row, outcomes)]
    claims = [claim for claim in study.claims if any(map(claim.rows, measured))]
    return [Verdict(study.name, claim, claim.holds(values), sum(map(claim.rows, reached))) for claim in claims]


def _reached(measured: StudyRow, outcomes: Mapping[str, Outcome]) -> list[str]:
    """Return the names of the controls whose score is within 0.02 of ours in the same directions, or above it."""
    controls = measured.controls(outcomes)
    return [name for name, (control, same) in controls.items() if control >= same - _NEARLY]


def table(
    study: Study, measured: Sequence[StudyRow], outcomes: Mapping[str, Outcome], verdicts: Sequence[Verdict]
) -> pd.DataFrame:
    """Return the table of a study, with one row for each metric of a comparison.

    The columns `COLUMNS` come first. `sem` is the standard error over networks, which pairs share
    (`scoring.crossed_pairs`). These follow:

    * `relation` is `>` where the paper states a bound.
    * `pairs` has the value of each pair, and `points` the folder of each pair's comparison.
    * `no_swap` is the baseline: the score in the same directions with nothing swapped.
    * `control_NAME` is the score of a control. `reached` names the controls that come within 0.02 of the score in the
      same directions. An untrained network is scored into the others only, and `ours_into_others` is the score there.
    * `complement` is the mean, over pairs and networks, of the share of rows in which a target keeps its variable while
      everything outside the subspace is swapped within the network, and `whole_swap` that of the same rows with the
      whole state swapped. They are empty where no target can keep what it had: after swaps at all positions.
    * `outside`, `energy`, `outside_natural` and `energy_natural` are means over pairs and directions, of swapped states
      and of held-out natural states.
    * `rank` and `steps` have those of each pair, and `cut_off` is the number of searches that used up `max_steps`.
    * `seconds` is the sum over all pairs and ranks without the controls, and `control_seconds` that of the controls.

    The `verdict` of a row is `borne out` if all claims about it are supported. Numbers of the paper that were not
    measured have rows with the verdict `left out`.

    Args:
        study: The study.
        measured: Its rows.
        outcomes: The outcomes of their comparisons, by key.
        verdicts: The verdicts on its claims.
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
    of_pairs = [outcomes[each.key] for each in measured.comparisons]
    return {
        **dict(zip(COLUMNS, (study.name, *measured.name), strict=False)),
        "paper": None if paper is None else paper.value,
        "relation": None if paper is None else paper.relation,
        "ours": values.mean(),
        "sem": pair_mean(values, measured.members).sem,
        "n": len(values),
        "verdict": measured.note if not held else BORNE_OUT if all(held) else NOT_BORNE_OUT,
        "pairs": " ".join(f"{value:.4g}" for value in values),
        "no_swap": measured.no_swap(outcomes),
        **{f"control_{name}": control for name, (control, _) in controls.items()},
        **({"ours_into_others": controls["untrained"][1]} if "untrained" in controls else {}),
        "reached": ", ".join(_reached(measured, outcomes)),
        **_about([each for each in of_pairs if isinstance(each, AlignmentSummary)]),
        "seconds": sum(map(_seconds, of_pairs)),
        "points": " ".join(each.key for each in measured.comparisons),
    }


def _about(alignments: Sequence[AlignmentSummary]) -> dict[str, object]:
    """Return the complement, naturalness, ranks, steps and control seconds of the alignments of a row."""
    if not alignments:
        return {}
    naturalness = pd.DataFrame([dict(each) for outcome in alignments for each in outcome.naturalness])
    complements = [each for outcome in alignments for each in outcome.complement if each.complement is not None]
    kept = pd.DataFrame([dict(each) for each in complements], columns=list(_COMPLEMENT), dtype=float)
    return {
        **{name: float(kept[name].mean()) for name in _COMPLEMENT},
        **{name: float(naturalness[name].mean()) for name in _DEPARTURES},
        "rank": " ".join(str(outcome.rank) for outcome in alignments),
        "steps": " ".join(str(outcome.steps) for outcome in alignments),
        "cut_off": sum(outcome.stopped == StopReason.MAX_STEPS for outcome in alignments),
        "control_seconds": sum(outcome.seconds.controls for outcome in alignments),
    }


def _seconds(outcome: Outcome) -> float:
    """Return the duration of a comparison without its controls."""
    if isinstance(outcome, SimilarityMeasures):
        return outcome.seconds
    return outcome.seconds.total - outcome.seconds.controls
