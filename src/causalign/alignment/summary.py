"""What was asked, found and scored, written down."""

import platform
from collections.abc import Sequence

import numpy as np
import torch

from causalign.alignment.fit import Splits
from causalign.alignment.recording_summary import summary_of
from causalign.alignment.request import Request
from causalign.alignment.schema import (
    AlignmentSummary,
    ControlScore,
    EvaluationRecord,
    MissingLatent,
    Seconds,
    SiteSummary,
)
from causalign.alignment.scoring import AlignmentScores
from causalign.search.rank_selection import RankTrial
from causalign.search.search import SearchResult
from causalign.sites.readable import Readable
from causalign.sites.recordings.recording import Recording
from causalign.tasks.variable import Variable
from causalign.timer import Timer
from causalign.version import __version__


def record(
    request: Request,
    found: SearchResult,
    ranks: Sequence[RankTrial],
    tolerance: float | None,
    splits: Splits,
    scored: AlignmentScores,
    controls: tuple[ControlScore, ...],
    clock: Timer,
) -> AlignmentSummary:
    """All there is to be said of what was found."""
    trained = sum(direction in request.objectives for direction in request.scored)
    latents = {direction.target: kind for direction, kind in request.objectives.items() if kind.uses_latents}
    beside = len(latents) > 0 and any(kind.runs_target for kind in request.objectives.values())
    return AlignmentSummary(
        method=request.method.name,
        task=" x ".join(dict.fromkeys(site.task.name for site in request.sites)),
        variable=str(request.variables[0]) if len(set(request.variables)) == 1 else tuple(map(str, request.variables)),
        rank=found.maps[0].rank,
        map=request.parametrization.name,
        scale=request.scale,
        start=request.start,
        sites=tuple(map(_about, request.sites, request.names, request.variables)),
        iia=scored.scores[:trained],
        worst_iia=min((score.iia for score in scored.scores[:trained]), default=None),
        no_swap=scored.floor[:trained],
        untrained=scored.scores[trained:],
        latent=scored.latent,
        controls=controls,
        naturalness=scored.naturalness,
        inaccessible=request.names[min(latents)] if latents else None,
        eps=latents[min(latents)].weight if beside else None,
        unmatched=_unmatched(request, splits),
        ranks=tuple(ranks),
        tolerance=tolerance,
        steps=found.steps,
        stopped=found.stopped,
        seed=request.seed,
        threads=torch.get_num_threads(),
        data=request.data.fingerprint,
        notes=request.notes,
        interventions=request.counts,
        seconds=Seconds(**clock.read()),
        versions=_versions(),
        history=tuple(EvaluationRecord(**vars(look)) for look in found.history),
    )


def _unmatched(request: Request, splits: Splits) -> tuple[MissingLatent, ...]:
    return tuple(
        MissingLatent(
            source=request.names[source],
            target=request.names[target],
            split=name,
            values=dict(zip(request.sites[target].task.variables, values, strict=True)),
            count=count,
        )
        for name, split in splits.items()
        for (source, target), given in split.items()
        for values, count in (given.missing_latents or {}).items()
    )


def _about(site: Readable, name: str, variable: Variable) -> SiteSummary:
    return SiteSummary(
        name=name,
        network=site.system,
        at=site.at,
        task=site.task.name,
        task_summary=site.task.summary,
        variables=site.task.keys(variable.name) if site.task.variables else (str(variable),),
        width=site.width,
        fingerprint=site.fingerprint,
        recording=summary_of(site) if isinstance(site, Recording) else None,
    )


def _versions() -> dict[str, str]:
    """Of all that a result depends on."""
    return {
        "causalign": __version__,
        "torch": torch.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
    }
