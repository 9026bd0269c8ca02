"""The outcomes of an alignment and of its controls by direction and variable, as tests of scores take them."""

from collections.abc import Sequence

from causalign.alignment.row_outcomes import RowOutcomes
from causalign.alignment.schema import AlignmentSummary, Score
from causalign.counterfactuals.direction import Direction
from causalign.errors import InvalidArgument, unknown
from causalign.scoring.worst_difference import Line


def outcome_lines(
    record: AlignmentSummary, outcomes: RowOutcomes, direction: tuple[int, int] | None, variable: str | None
) -> list[Line]:
    """Return the outcomes of the trained directions whose target can be run.

    Args:
        record: The summary of the alignment.
        outcomes: The outcome of each of its test rows.
        direction: The indices of source and target of the only direction. By default all directions.
        variable: The only variable, as `iia` names it. By default all variables.

    Raises:
        InvalidArgument: There is no such direction or variable, or no IIA.
    """
    names = [site.name for site in record.sites]
    table = {_place(score, names): score for score in record.iia}
    if not table:
        raise InvalidArgument("there is no IIA to compare: all directions of the alignment lead into recordings")
    places = dict.fromkeys(place for place, _ in table)
    if direction is not None and tuple(direction) not in places:
        known = ", ".join(f"({source}, {target})" for source, target in places)
        raise InvalidArgument(f"direction {tuple(direction)} has no IIA: source and target are one of {known}")
    if variable is not None and variable not in {of for _, of in table}:
        raise unknown("variable", variable, dict.fromkeys(of for _, of in table))
    lines = []
    for place in places if direction is None else [Direction(*direction)]:
        of_direction = [of for at, of in table if at == place]
        for index, of in zip(sorted({*outcomes.variable.tolist()}), of_direction, strict=True):
            if variable in (None, of):
                there = outcomes.variable == index
                correct = outcomes.directions[place].correct[there]
                key = (record.data, outcomes.index[there].tobytes())
                lines.append(Line(int(correct.sum()), len(correct), correct, key))
    return lines


def control_lines(record: AlignmentSummary, control: str) -> tuple[list[Line], list[Line]]:
    """Return the scores of an alignment and of one of its controls, in the directions that are comparable.

    Only the numbers of rows are known of controls, so that rows are not paired.

    Args:
        record: The summary of the alignment.
        control: The name of the control.

    Raises:
        InvalidArgument: The alignment has no such control.
    """
    if not record.controls:
        raise InvalidArgument("the alignment has no controls: align with controls=True")
    if control not in record.by_control:
        raise unknown("control", control, record.by_control)
    ours, theirs = (record.comparable(scores, control) for scores in (record.iia, record.by_control[control]))
    return [_counted(score) for score in ours], [_counted(score) for score in theirs]


def _counted(score: Score) -> Line:
    return Line(round(score.iia * score.rows), score.rows)


def _place(score: Score, names: Sequence[str]) -> tuple[Direction, str]:
    return Direction(names.index(score.source), names.index(score.target)), score.variable
