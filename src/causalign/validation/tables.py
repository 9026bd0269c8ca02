"""The tables of a validation: the problems with known answers, and how natural swapped states are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from causalign.alignment.schema import AlignmentSummary
from causalign.alignment.verdict_rule import Answer, Evidence, VerdictRule
from causalign.validation.point import Numbers, ProblemPoint
from causalign.validation.problems.registry import PROBLEMS


@dataclass(frozen=True)
class ProblemOutcome:
    """A problem with a known answer, and what was found.

    Attributes:
        point: The problem and its seed.
        record: The summary of its alignment.
        numbers: The angles to the true subspaces, and the checks.
    """

    point: ProblemPoint
    record: AlignmentSummary
    numbers: Numbers


def problem_table(outcomes: Sequence[ProblemOutcome], rule: VerdictRule) -> pd.DataFrame:
    """Return a row for each problem: the known answer, the score, the largest angle, the checks, and the verdict.

    `outcome` is `right` where the verdict is the known answer and every check is within its bound, `undecided` where
    there is no answer, and else `wrong`.
    """
    rows = []
    for each in outcomes:
        problem = PROBLEMS[each.point.problem]
        answer, evidence = rule.answer(Evidence.of(each.record)), Evidence.of(each.record)
        known = Answer.YES if problem.interchangeable else Answer.NO
        checks = each.numbers.checks
        within = all(checks[name] <= bound for name, bound in problem.expected.items())
        rows.append(
            {
                "problem": problem.name,
                "seed": each.point.seed,
                "known": str(known),
                "ceiling": 1.0 if problem.interchangeable else problem.ceiling,
                "worst_iia": each.record.worst_iia,
                "ci_low": evidence.low,
                "ci_high": evidence.high,
                "no_swap": max(score.no_swap for score in each.record.iia),
                **{f"control_{name}": min(scores) for name, scores in each.record.control_scores.items()},
                "largest_angle": max(each.numbers.angles.values(), default=None),
                "checks": "; ".join(f"{name} {value:.3g}" for name, value in checks.items()),
                "verdict": str(answer),
                "outcome": _outcome(answer, known, within),
                "seconds": each.record.seconds.total,
            }
        )
    return pd.DataFrame(rows)


def naturalness_table(records: Mapping[float, Sequence[AlignmentSummary]]) -> pd.DataFrame:
    """Return, for each weight of the latent objective, the means over networks of scores and distances.

    Args:
        records: The alignments of the networks, by the weight.

    Returns:
        `latent_weight, networks, iia, holdout_iia, energy, energy_natural, outside, outside_natural`: the IIA, that on
        values that were held out, and the naturalness of the swapped states (see `Alignment.naturalness`).
    """
    rows = []
    for weight, of in records.items():
        distances = pd.DataFrame([dict(score) for record in of for score in record.naturalness])
        rows.append(
            {
                "latent_weight": weight,
                "networks": len(of),
                "iia": _mean([record.worst_iia for record in of]),
                "holdout_iia": _mean([min(score.iia for score in record.holdout) for record in of]),
                **distances[["energy", "energy_natural", "outside", "outside_natural"]].mean().to_dict(),
            }
        )
    return pd.DataFrame(rows)


def _outcome(answer: Answer, known: Answer, within: bool) -> str:
    if answer is Answer.UNDECIDED:
        return "undecided"
    return "right" if answer is known and within else "wrong"


def _mean(values: Sequence[float | None]) -> float:
    return float(np.mean([value for value in values if value is not None]))
