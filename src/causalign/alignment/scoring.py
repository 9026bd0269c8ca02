"""The scores of maps on the test rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from causalign.alignment.fit import Splits
from causalign.alignment.request import Request
from causalign.alignment.row_outcomes import DirectionOutcomes, RowOutcomes
from causalign.alignment.schema import DirectionScore, LatentScore, NaturalnessScore, Score
from causalign.counterfactuals.direction import Direction
from causalign.counterfactuals.interventions import keep
from causalign.counterfactuals.rows import CounterfactualRows
from causalign.maps.base import AlignmentMap
from causalign.scoring.iia import iia_table, row_outcomes
from causalign.scoring.latent_distance import latent_table
from causalign.scoring.naturalness import naturalness


@dataclass(frozen=True)
class AlignmentScores:
    """The scores of maps on the test rows."""

    scores: tuple[DirectionScore, ...]
    outcomes: RowOutcomes
    latent: tuple[LatentScore, ...]
    """The scores of directions into recordings."""
    naturalness: tuple[NaturalnessScore, ...]


def alignment_scores(request: Request, maps: Sequence[AlignmentMap], splits: Splits) -> AlignmentScores:
    """Score maps on the test rows."""
    held_out = splits["test"]
    run = {direction: held_out[direction] for direction in request.scored}
    swapped, plain = (row_outcomes(request.sites, maps, swap, run) for swap in (request.method.intervention, keep))
    table = iia_table(request.names, request.variables, swapped, plain)
    outcomes = {
        direction: DirectionOutcomes(swapped[direction].cpu().numpy(), plain[direction].cpu().numpy())
        for direction in run
    }
    return AlignmentScores(
        tuple(DirectionScore.model_validate(row) for row in table.to_dict("records")),
        RowOutcomes(request.data.index("test"), outcomes),
        _latent_scores(request, maps, held_out),
        _naturalness_scores(request, maps, splits),
    )


def scores_without_baseline(
    request: Request, maps: Sequence[AlignmentMap], rows: Mapping[Direction, CounterfactualRows]
) -> tuple[Score, ...]:
    """Return the IIA of every trained direction whose target can be run, without the baseline."""
    run = {direction: rows[direction] for direction in request.scored if direction in request.objectives}
    table = iia_table(
        request.names, request.variables, row_outcomes(request.sites, maps, request.method.intervention, run)
    )
    return tuple(Score.model_validate(row) for row in table.to_dict("records"))


def _naturalness_scores(request: Request, maps: Sequence[AlignmentMap], splits: Splits) -> tuple[NaturalnessScore, ...]:
    """How far the swaps of the trained directions lead from natural states."""
    natural, test = splits["train"], splits["test"]
    held_out = {direction: test[direction] for direction in request.objectives}
    found = naturalness(maps, request.method.intervention, natural, held_out, request.seed)
    return tuple(
        NaturalnessScore(source=request.names[source], target=request.names[target], **naturalness_of._asdict())
        for (source, target), naturalness_of in found.items()
    )


def _latent_scores(
    request: Request, maps: Sequence[AlignmentMap], rows: Mapping[Direction, CounterfactualRows]
) -> tuple[LatentScore, ...]:
    """The latent objective of every trained direction whose target cannot be run."""
    read = {direction: rows[direction] for direction in request.only_read}
    intervention = request.method.intervention
    table = latent_table(request.names, request.variables, maps, intervention, rows=read, seed=request.seed)
    return tuple(LatentScore.model_validate(row) for row in table.to_dict("records"))
