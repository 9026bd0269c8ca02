"""The rule by which a score and its controls become a verdict, and its error rates where the truth is known."""

from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib.resources import files

from pydantic import BaseModel, ConfigDict

from causalign.alignment.outcome_lines import control_lines
from causalign.alignment.schema import AlignmentSummary
from causalign.scoring.score_comparison import score_comparison

RATES, UNTRAINED = "verdict_rates.json", "untrained"
LEVEL = 0.05


class Answer(StrEnum):
    """What a score says of the question whether networks can exchange a variable."""

    YES = "interchangeable"
    NO = "not interchangeable"
    UNDECIDED = "undecided"


@dataclass(frozen=True)
class Evidence:
    """What the rule decides by.

    Attributes:
        low: The lower end of the 95 % interval of the worst IIA.
        high: The upper end of the interval.
        rivals: The controls and baselines that the worst IIA does not exceed at the 5 % level, with their scores. Not
            among them is the untrained network: its state often holds its input, so that a trained receiver can read
            what it needs. That the score is that of the worst direction, into either network, already excludes it.
    """

    low: float
    high: float
    rivals: tuple[tuple[str, float], ...] = ()

    @classmethod
    def of(cls, record: AlignmentSummary) -> "Evidence":
        """Return the evidence of an alignment that has controls and an IIA."""
        low, high = record.worst_interval or (0.0, 1.0)
        rivals = [("no swap", score.no_swap) for score in record.iia if not score.above_baseline]
        for control in record.by_control:
            if control == UNTRAINED:
                continue
            test = score_comparison(*control_lines(record, control))
            if test.p_greater >= LEVEL:
                rivals.append((control, test.second))
        return cls(low, high, tuple(rivals))


class VerdictRule(BaseModel):
    """The rule, with the thresholds that were chosen on pairs of networks of a known relation."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    yes_from: float
    """The answer is yes if the lower end of the interval is at least this, and there are no rivals."""
    no_below: float
    """The answer is no if the upper end of the interval is below this."""

    def answer(self, evidence: Evidence) -> Answer:
        """Return the answer to the question whether the networks can exchange the variable."""
        if evidence.high < self.no_below:
            return Answer.NO
        if evidence.low >= self.yes_from and not evidence.rivals:
            return Answer.YES
        return Answer.UNDECIDED


class ErrorRate(BaseModel):
    """How often the rule gave an answer where it is wrong, on pairs that had no part in the choice of thresholds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    wrong: int
    """The number of alignments to which it gave the answer."""
    of: int
    """The number of alignments of which the answer is wrong."""

    def __str__(self) -> str:
        from scipy.stats import binomtest  # takes half a second to import

        low, high = binomtest(self.wrong, self.of).proportion_ci(method="exact")
        return f"{self.wrong} of {self.of} ({100 * low:.1f} to {100 * high:.1f} %)"


class KnownRates(BaseModel):
    """The rule that ships, and its error rates."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rule: VerdictRule
    false_yes: ErrorRate
    """Of pairs that cannot be interchanged, those that were called interchangeable."""
    false_no: ErrorRate
    """Of pairs that can be interchanged, those that were called not interchangeable."""


@cache
def known_rates() -> KnownRates:
    """Return the rule that ships, and its error rates. `causalign validate` measures them."""
    return KnownRates.model_validate_json(files("causalign.alignment").joinpath(RATES).read_bytes())
