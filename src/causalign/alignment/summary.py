"""The summary of an alignment: what was asked for, what was found, and how it scores."""

import platform
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from causalign.alignment.fit import Splits
from causalign.alignment.recording_summary import summary_of
from causalign.alignment.request import Request
from causalign.alignment.schema import (
    AlignmentSummary,
    ControlScore,
    MissingLatent,
    Seconds,
    SiteSummary,
)
from causalign.alignment.scoring import AlignmentScores
from causalign.search.rank_selection import RankTrial
from causalign.search.search import SearchResult
from causalign.sites.base import Site
from causalign.sites.recordings.recording import Recording
from causalign.timer import Timer
from causalign.version import __version__


@dataclass(frozen=True)
class Findings:
    """What a search found, and how it scores."""

    search: SearchResult
    ranks: tuple[RankTrial, ...]
    scores: AlignmentScores
    controls: tuple[ControlScore, ...]
    accuracy: tuple[float | None, ...]
    """Of each network with nothing swapped, where that is known."""


def summarize(request: Request, findings: Findings, splits: Splits, timer: Timer) -> AlignmentSummary:
    """Return the summary of an alignment."""
    found, scores, variables = findings.search, findings.scores, request.variables
    trained = sum(direction in request.objectives for direction in request.scored)
    not_run = {direction.target for direction, each in request.objectives.items() if not each.runs_target}
    return AlignmentSummary(
        config=request.config,
        variable=str(variables[0]) if len(set(variables)) == 1 else tuple(map(str, variables)),
        rank=found.maps[0].rank,
        start=request.start,
        data=request.data.fingerprint,
        notes=request.notes,
        sites=_site_summaries(request, findings.accuracy),
        iia=scores.scores[:trained],
        worst_iia=min((score.iia for score in scores.scores[:trained]), default=None),
        untrained=scores.scores[trained:],
        latent=scores.latent,
        controls=findings.controls,
        naturalness=scores.naturalness,
        inaccessible=request.names[min(not_run)] if not_run else None,
        unmatched=_unmatched(request, splits),
        ranks=findings.ranks,
        steps=found.steps,
        stopped=found.stopped,
        rows=request.counts,
        threads=torch.get_num_threads(),
        seconds=Seconds(**timer.read()),
        versions=_versions(),
        history=found.history,
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
        for (source, target), rows in split.items()
        for values, count in (rows.missing_latents or {}).items()
    )


def _site_summaries(request: Request, accuracy: Sequence[float | None]) -> tuple[SiteSummary, ...]:
    return tuple(
        SiteSummary(
            name=name,
            network=site.system,
            at=site.at,
            task=site.task.name,
            task_summary=site.task.summary,
            variables=site.task.keys(variable.name) if site.task.variables else (str(variable),),
            width=site.width,
            fingerprint=site.fingerprint,
            origin=site.network.origin if isinstance(site, Site) else None,
            accuracy=share,
            recording=summary_of(site) if isinstance(site, Recording) else None,
        )
        for site, name, variable, share in zip(request.sites, request.names, request.variables, accuracy, strict=True)
    )


def _versions() -> dict[str, str]:
    """The versions of what a result depends on."""
    return {
        "causalign": __version__,
        "torch": torch.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
    }
