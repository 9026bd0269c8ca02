"""The scores of maps on the test rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int
from torch import Tensor

from causalign.alignment.complement import Complements, complements
from causalign.alignment.fit import Splits
from causalign.alignment.request import Request
from causalign.alignment.row_outcomes import DirectionOutcomes, RowOutcomes
from causalign.alignment.schema import ComplementScore, DirectionScore, LatentScore, NaturalnessScore, Score
from causalign.counterfactuals.direction import Direction
from causalign.counterfactuals.holdout import HOLDOUT
from causalign.counterfactuals.interventions import keep
from causalign.counterfactuals.row_source import RowRequest
from causalign.counterfactuals.rows import CounterfactualRows
from causalign.maps.base import AlignmentMap
from causalign.run_context import RunContext
from causalign.scoring.iia import by_variable, iia_table, row_outcomes
from causalign.scoring.latent_distance import latent_table
from causalign.scoring.naturalness import naturalness


@dataclass(frozen=True)
class AlignmentScores:
    """The scores of maps on the test rows."""

    trained: tuple[DirectionScore, ...]
    untrained: tuple[DirectionScore, ...]
    """The scores of directions that the method does not train."""
    outcomes: RowOutcomes
    latent: tuple[LatentScore, ...]
    """The scores of directions into recordings."""
    naturalness: tuple[NaturalnessScore, ...]
    holdout: tuple[DirectionScore, ...]
    """The scores of the trained directions on rows whose value is held out."""
    complement: tuple[ComplementScore, ...]
    without_complement: str | None
    """The reason why no network has a complement, or `None` if one has."""


def alignment_scores(
    request: Request, maps: Sequence[AlignmentMap], splits: Splits, context: RunContext
) -> AlignmentScores:
    """Score maps on the test rows."""
    held_out = splits["test"]
    run = {direction: held_out[direction] for direction in request.scored}
    swapped, plain = (row_outcomes(request.sites, maps, swap, run) for swap in (request.method.intervention, keep))
    of_trained, of_others = (
        {direction: rows for direction, rows in run.items() if (direction in request.objectives) == trained}
        for trained in (True, False)
    )
    outcomes = {
        direction: DirectionOutcomes(swapped[direction].cpu().numpy(), plain[direction].cpu().numpy())
        for direction in run
    }
    wanted = RowRequest("test", (), request.method.stepwise), context
    kept = complements(request.data, maps, request.method, run, wanted)
    return AlignmentScores(
        _direction_scores(request, of_trained, (swapped, plain), kept),
        _direction_scores(request, of_others, (swapped, plain), kept),
        RowOutcomes(request.data.index("test"), _variable_of_rows(run, request), outcomes),
        _latent_scores(request, maps, held_out),
        _naturalness_scores(request, maps, splits),
        _holdout_scores(request, maps, context),
        kept.scores(request.data),
        kept.reason,
    )


def _direction_scores(
    request: Request,
    rows: Mapping[Direction, CounterfactualRows],
    outcomes: tuple[Mapping[Direction, Bool[Tensor, " _"]], Mapping[Direction, Bool[Tensor, " _"]]],
    kept: Complements,
) -> tuple[DirectionScore, ...]:
    """The scores of these directions, by variable, from their outcomes with and without the swap."""
    after, before = (by_variable({direction: each[direction] for direction in rows}, rows) for each in outcomes)
    table = iia_table(request.names, request.variables, after, before, kept.outcomes)
    return tuple(
        DirectionScore.model_validate({name: None if value != value else value for name, value in row.items()})
        for row in table.to_dict("records")
    )


def _holdout_scores(request: Request, maps: Sequence[AlignmentMap], context: RunContext) -> tuple[DirectionScore, ...]:
    """The scores of the trained directions on rows whose value is held out, if there are any."""
    if not request.data.holdout:
        return ()
    trained = tuple(direction for direction in request.scored if direction in request.objectives)
    rows = request.data.rows(RowRequest(HOLDOUT, trained), context)
    swapped, plain = (row_outcomes(request.sites, maps, swap, rows) for swap in (request.method.intervention, keep))
    return _direction_scores(request, rows, (swapped, plain), Complements())


def _variable_of_rows(rows: Mapping[Direction, CounterfactualRows], request: Request) -> Int[np.ndarray, " rows"]:
    """The index of the variable of each test row, which is the same in every direction."""
    found = next((each.variable for each in rows.values()), None)
    return np.zeros(request.data.counts["test"], dtype=np.int64) if found is None else found.cpu().numpy().astype(int)


def scores_without_baseline(
    request: Request, maps: Sequence[AlignmentMap], rows: Mapping[Direction, CounterfactualRows]
) -> tuple[Score, ...]:
    """Return the IIA of every trained direction whose target can be run, without the baseline."""
    run = {direction: rows[direction] for direction in request.scored if direction in request.objectives}
    correct = row_outcomes(request.sites, maps, request.method.intervention, run)
    table = iia_table(request.names, request.variables, by_variable(correct, run))
    return tuple(Score.model_validate(row) for row in table.to_dict("records"))


def _naturalness_scores(request: Request, maps: Sequence[AlignmentMap], splits: Splits) -> tuple[NaturalnessScore, ...]:
    """How far the swaps of the trained directions lead from natural states."""
    natural, test = splits["train"], splits["test"]
    held_out = {direction: test[direction] for direction in request.objectives}
    found = naturalness(maps, request.method.intervention, natural, held_out, request.seed)
    return tuple(
        NaturalnessScore(
            source=request.names[direction.source],
            target=request.names[direction.target],
            variable=request.variables.label(variable, direction),
            **naturalness_of._asdict(),
        )
        for (direction, variable), naturalness_of in found.items()
    )


def _latent_scores(
    request: Request, maps: Sequence[AlignmentMap], rows: Mapping[Direction, CounterfactualRows]
) -> tuple[LatentScore, ...]:
    """The latent objective of every trained direction whose target cannot be run."""
    read = {direction: rows[direction] for direction in request.only_read}
    intervention = request.method.intervention
    table = latent_table(request.names, request.variables, maps, intervention, rows=read, seed=request.seed)
    return tuple(LatentScore.model_validate(row) for row in table.to_dict("records"))
