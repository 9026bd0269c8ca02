"""How often the verdict on a score is wrong, over pairs of networks of a known relation.

The thresholds of the rule are chosen on the pairs with even seeds at the usual setting. Its error rates are those of
pairs with odd seeds, which had no part in the choice.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from causalign.alignment.schema import AlignmentSummary
from causalign.alignment.verdict_rule import Answer, ErrorRate, Evidence, KnownRates, VerdictRule
from causalign.validation.drawn_pair import RELATIONS
from causalign.validation.point import PairPoint
from causalign.validation.setting import Setting

_THRESHOLDS = tuple(float(each) for each in np.round(np.arange(0.05, 1.0, 0.05), 2))


@dataclass(frozen=True)
class PairOutcome:
    """A drawn pair, what was found, and what is true.

    Attributes:
        point: The pair and its setting.
        record: The summary of its alignment.
        ceiling: The largest IIA that the worst direction can have, if it is known.
    """

    point: PairPoint
    record: AlignmentSummary
    ceiling: float | None

    @property
    def interchangeable(self) -> bool:
        """The truth."""
        return RELATIONS[self.point.relation].interchangeable

    @property
    def setting(self) -> Setting:
        """The setting of the alignment."""
        return self.point.setting

    @property
    def evidence(self) -> Evidence:
        """What the rule decides by."""
        return Evidence.of(self.record)


def choose_rule(outcomes: Sequence[PairOutcome], usual: Setting) -> VerdictRule:
    """Return the rule with the fewest wrong and undecided answers to the pairs with even seeds.

    A wrong answer counts ten times as much as an undecided one. Of thresholds that are equally good, the middle one is
    taken.
    """
    known = [(each.evidence, each.interchangeable) for each in outcomes if each.setting == usual and _even(each)]
    rules = [VerdictRule(yes_from=yes, no_below=no) for yes in _THRESHOLDS for no in _THRESHOLDS if no <= yes]
    costs = np.array([sum(_cost(rule.answer(evidence), truth) for evidence, truth in known) for rule in rules])
    best = [rule for rule, cost in zip(rules, costs, strict=True) if cost == costs.min()]
    yes, no = (float(np.median([getattr(rule, name) for rule in best])) for name in ("yes_from", "no_below"))
    return VerdictRule(yes_from=round(yes, 2), no_below=round(min(yes, no), 2))


def known_rates(outcomes: Sequence[PairOutcome], usual: Setting, rule: VerdictRule) -> KnownRates:
    """Return the rule with its error rates on the pairs with odd seeds.

    Pairs that cannot be interchanged count at every setting, because none should make an interchange up. Pairs that can
    count at the usual setting: a low rank or a short search may hide what is there.
    """
    odd = [each for each in outcomes if not _even(each)]
    at_usual = [each for each in odd if each.setting == usual]
    return KnownRates(rule=rule, false_yes=_rate(odd, rule, False), false_no=_rate(at_usual, rule, True))


def rates_by_setting(outcomes: Sequence[PairOutcome], usual: Setting, rule: VerdictRule) -> pd.DataFrame:
    """Return what the rule says by setting, of all pairs that had no part in the choice of the rule.

    Returns:
        A row for each setting: `rank, n_train, max_steps`, then of pairs that can be interchanged and of those that
        cannot the number (`yes_pairs`, `no_pairs`) and of these the numbers of each answer (`yes_right`,
        `yes_undecided`, `yes_wrong`, ...).
    """
    rows = []
    for setting in dict.fromkeys(each.setting for each in outcomes):
        held_out = [e for e in outcomes if e.setting == setting and (setting != usual or not _even(e))]
        row: dict[str, int] = dict(vars(setting))
        for truth, name in ((True, "yes"), (False, "no")):
            answers = [rule.answer(each.evidence) for each in held_out if each.interchangeable == truth]
            right, wrong = (Answer.YES, Answer.NO) if truth else (Answer.NO, Answer.YES)
            row |= {
                f"{name}_pairs": len(answers),
                f"{name}_right": answers.count(right),
                f"{name}_undecided": answers.count(Answer.UNDECIDED),
                f"{name}_wrong": answers.count(wrong),
            }
        rows.append(row)
    return pd.DataFrame(rows)


def pair_table(outcomes: Sequence[PairOutcome], rule: VerdictRule) -> pd.DataFrame:
    """Return a row for each drawn pair: its relation, setting, ceiling, score, interval, controls and answer."""
    return pd.DataFrame(
        [
            {
                "relation": each.point.relation,
                "seed": each.point.seed,
                **vars(each.setting),
                "interchangeable": each.interchangeable,
                "ceiling": each.ceiling,
                "worst_iia": each.record.worst_iia,
                "ci_low": each.evidence.low,
                "ci_high": each.evidence.high,
                "no_swap": max(score.no_swap for score in each.record.iia),
                **{f"control_{name}": min(scores) for name, scores in each.record.control_scores.items()},
                "steps": each.record.steps,
                "stopped": str(each.record.stopped),
                "seconds": each.record.seconds.total,
                "answer": str(rule.answer(each.evidence)),
            }
            for each in outcomes
        ]
    )


def _even(outcome: PairOutcome) -> bool:
    return outcome.point.seed % 2 == 0


def _cost(answer: Answer, truth: bool) -> int:
    if answer is Answer.UNDECIDED:
        return 1
    return 0 if (answer is Answer.YES) == truth else 10


def _rate(outcomes: Sequence[PairOutcome], rule: VerdictRule, truth: bool) -> ErrorRate:
    """Return how often pairs of one truth got the answer of the other."""
    answers = [rule.answer(each.evidence) for each in outcomes if each.interchangeable == truth]
    return ErrorRate(wrong=answers.count(Answer.NO if truth else Answer.YES), of=len(answers))
