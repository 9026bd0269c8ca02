"""The verdict on a score: one sentence, with the error rate of the rule that gave it."""

from dataclasses import dataclass

from causalign.alignment.schema import AlignmentSummary
from causalign.alignment.verdict_rule import UNTRAINED, Answer, ErrorRate, Evidence, known_rates
from causalign.errors import InvalidArgument
from causalign.search.stop_reason import StopReason

_NEAR = 0.05  # so much below the score, a control still comes near it


@dataclass(frozen=True)
class Verdict:
    """What a score and its controls say, and how far that can be trusted.

    Attributes:
        answer: Whether the networks can exchange the variable: `interchangeable`, `not interchangeable`, `undecided`.
        reason: The numbers that decide, as the rest of a sentence.
        error_rate: How often the rule gave this answer to pairs of networks of which it is wrong. `None` for
            `undecided`.
    """

    answer: Answer
    reason: str
    error_rate: ErrorRate | None

    def __str__(self) -> str:
        """Return the verdict as one sentence."""
        known = (
            "" if self.error_rate is None else f" The rule gave this answer wrongly to {self.error_rate} known pairs."
        )
        return f"{self.answer.capitalize()}: {self.reason}.{known}"


def verdict(record: AlignmentSummary) -> Verdict:
    """Return the verdict on an alignment.

    The answer is yes where the lower end of the interval of the worst IIA is high, and the score exceeds the baseline,
    shuffled outputs and random subspaces (`Evidence`, `VerdictRule`). It is no where the upper end is low.
    docs/validation.md has the error rates.

    Raises:
        InvalidArgument: The alignment has no IIA or no controls, or its search was cut off.
    """
    if record.worst_iia is None:
        raise InvalidArgument("a verdict needs an IIA: all directions of the alignment lead into recordings")
    if not record.controls:
        raise InvalidArgument("a verdict needs controls: align with controls=True")
    if reason := _cut_off(record):
        raise InvalidArgument(f"a verdict needs a search that ended by itself: {reason}")
    evidence, known = Evidence.of(record), known_rates()
    answer = known.rule.answer(evidence)
    rates = {Answer.YES: known.false_yes, Answer.NO: known.false_no}
    return Verdict(answer, _reason(record, evidence, answer), rates.get(answer))


def verdict_line(record: AlignmentSummary) -> str | None:
    """Return the verdict in one line, or why there is none; `None` for an alignment without controls."""
    if not record.controls:
        return None
    try:
        return str(verdict(record))
    except InvalidArgument as error:
        return f"No verdict: {error}."


def _cut_off(record: AlignmentSummary) -> str | None:
    """Return why it is not known whether a longer search would find more, or `None` if it is."""
    if record.stopped != StopReason.MAX_STEPS or not record.steps:
        return None
    if record.config.search.early_stopping:
        return f"this one ran out of steps at step {record.steps:,}, before it had settled: raise max_steps"
    return "this one was told to take all its steps: leave early_stopping on"


def _reason(record: AlignmentSummary, evidence: Evidence, answer: Answer) -> str:
    score = f"the worst IIA is {record.worst_iia:.3f} [{evidence.low:.3f}, {evidence.high:.3f}] at {record.extent}"
    if answer is Answer.YES:
        scores = {name: max(scores) for name, scores in record.control_scores.items() if name != UNTRAINED}
        rivals = ", ".join(f"{name} {value:.3f}" for name, value in scores.items())
        no_swap = max(each.no_swap for each in record.iia)
        return f"{score}, above no swap {no_swap:.3f}, {rivals}{_untrained(record)}"
    if answer is Answer.UNDECIDED and evidence.rivals:
        rivals = ", ".join(f"{name} {value:.3f}" for name, value in dict(evidence.rivals).items())
        return f"{score}, which does not exceed {rivals}"
    if answer is Answer.UNDECIDED:
        return f"{score}: more than networks that cannot be interchanged reach, and less than those that can"
    return score


def _untrained(record: AlignmentSummary) -> str:
    """Say where an untrained network in the place of the first one is read as well, or return nothing."""
    reached = min(record.control_scores.get(UNTRAINED, [0.0]))
    if reached < (record.worst_iia or 0.0) - _NEAR:
        return ""
    name = record.sites[0].name
    return f"; an untrained network in the place of {name} reaches {reached:.3f} too, so that its learning is not shown"
