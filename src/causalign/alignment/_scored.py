"""What the test interventions say of maps."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from causalign.alignment._request import Request, Split
from causalign.alignment.record import DepartureRecord, LatentScore, Score
from causalign.evaluation import correct_trials, departures, iia_table, latent_table
from causalign.interchange import Direction, Interventions, Swap, keep
from causalign.maps import AlignmentMap


@dataclass(frozen=True)
class Scored:
    """What the test interventions say of maps."""

    scores: tuple[Score, ...]
    floor: tuple[Score, ...]
    """With nothing swapped."""
    latent: tuple[LatentScore, ...]
    """Of directions into recordings."""
    departures: tuple[DepartureRecord, ...]


def scored(request: Request, maps: Sequence[AlignmentMap], splits: Mapping[str, Split]) -> Scored:
    """All of it."""
    held_out = splits["test"].interventions
    return Scored(
        scores(request, maps, request.method.swap, held_out),
        scores(request, maps, keep, held_out),
        _latent_scores(request, maps, held_out),
        _departures(request, maps, splits),
    )


def scores(
    request: Request, maps: Sequence[AlignmentMap], swap: Swap, interventions: Mapping[Direction, Interventions]
) -> tuple[Score, ...]:
    """The IIA of every direction whose target can be run, under a swap."""
    run = {direction: interventions[direction] for direction in request.scored if direction in interventions}
    if not run:
        return ()
    correct = correct_trials(request.sites, maps, swap, run)
    table = iia_table(request.names, request.variables, correct)
    return tuple(Score.model_validate(row) for row in table.to_dict("records"))


def _departures(
    request: Request, maps: Sequence[AlignmentMap], splits: Mapping[str, Split]
) -> tuple[DepartureRecord, ...]:
    """How far the swaps of the trained directions lead from natural states."""
    natural, test = splits["train"].interventions, splits["test"].interventions
    held_out = {direction: test[direction] for direction in request.objectives}
    found = departures(maps, request.method.swap, natural, held_out, request.seed)
    return tuple(
        DepartureRecord(source=request.names[source], target=request.names[target], **departure._asdict())
        for (source, target), departure in found.items()
    )


def _latent_scores(
    request: Request, maps: Sequence[AlignmentMap], interventions: Mapping[Direction, Interventions]
) -> tuple[LatentScore, ...]:
    """The latent objective of every trained direction whose target cannot be run."""
    read = {direction: interventions[direction] for direction in request.only_read}
    table = latent_table(request.names, request.variables, maps, request.method.swap, read, request.seed)
    return tuple(LatentScore.model_validate(row) for row in table.to_dict("records"))
