"""What the test interventions say of maps."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from causalign.alignment.fit import Splits
from causalign.alignment.request import Request
from causalign.alignment.schema import LatentScore, NaturalnessScore, Score
from causalign.counterfactuals.direction import Direction
from causalign.counterfactuals.interventions import Swap, keep
from causalign.counterfactuals.rows import CounterfactualRows
from causalign.maps.base import AlignmentMap
from causalign.scoring.iia import iia_table, row_outcomes
from causalign.scoring.latent_distance import latent_table
from causalign.scoring.naturalness import naturalness


@dataclass(frozen=True)
class AlignmentScores:
    """What the test interventions say of maps."""

    scores: tuple[Score, ...]
    floor: tuple[Score, ...]
    """With nothing swapped."""
    latent: tuple[LatentScore, ...]
    """Of directions into recordings."""
    naturalness: tuple[NaturalnessScore, ...]


def scored(request: Request, maps: Sequence[AlignmentMap], splits: Splits) -> AlignmentScores:
    """All of it."""
    held_out = splits["test"]
    return AlignmentScores(
        scores(request, maps, request.method.swap, held_out),
        scores(request, maps, keep, held_out),
        _latent_scores(request, maps, held_out),
        _departures(request, maps, splits),
    )


def scores(
    request: Request, maps: Sequence[AlignmentMap], swap: Swap, interventions: Mapping[Direction, CounterfactualRows]
) -> tuple[Score, ...]:
    """The IIA of every direction whose target can be run, under a swap."""
    run = {direction: interventions[direction] for direction in request.scored if direction in interventions}
    if not run:
        return ()
    correct = row_outcomes(request.sites, maps, swap, run)
    table = iia_table(request.names, request.variables, correct)
    return tuple(Score.model_validate(row) for row in table.to_dict("records"))


def _departures(request: Request, maps: Sequence[AlignmentMap], splits: Splits) -> tuple[NaturalnessScore, ...]:
    """How far the swaps of the trained directions lead from natural states."""
    natural, test = splits["train"], splits["test"]
    held_out = {direction: test[direction] for direction in request.objectives}
    found = naturalness(maps, request.method.swap, natural, held_out, request.seed)
    return tuple(
        NaturalnessScore(source=request.names[source], target=request.names[target], **naturalness_of._asdict())
        for (source, target), naturalness_of in found.items()
    )


def _latent_scores(
    request: Request, maps: Sequence[AlignmentMap], interventions: Mapping[Direction, CounterfactualRows]
) -> tuple[LatentScore, ...]:
    """The latent objective of every trained direction whose target cannot be run."""
    read = {direction: interventions[direction] for direction in request.only_read}
    table = latent_table(request.names, request.variables, maps, request.method.swap, read, request.seed)
    return tuple(LatentScore.model_validate(row) for row in table.to_dict("records"))
