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
from causalign.counterfactuals.variables import Variables
from causalign.scoring.worst_interval import worst_interval
from causalign.search.rank_selection import RankTrial
from causalign.search.search import SearchResult
from causalign.sites.base import Site
from causalign.sites.readable import Readable
from causalign.sites.recordings.recording import Recording
from causalign.tasks.variable import Variable
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
    found, scores = findings.search, findings.scores
    low, high = _worst_interval(scores)
    not_run = {direction.target for direction, each in request.objectives.items() if not each.runs_target}
    return AlignmentSummary(
        config=request.config,
        variable=_variable(request.variables),
        rank=found.maps[0].rank,
        blocks=dict(request.rank.blocks),
        subspaces=request.subspaces,
        start=request.start,
        data=request.data.fingerprint,
        notes=request.notes,
        sites=_site_summaries(request, findings.accuracy),
        iia=scores.trained,
        worst_iia=min((score.iia for score in scores.trained), default=None),
        worst_ci_low=low,
        worst_ci_high=high,
        untrained=scores.untrained,
        latent=scores.latent,
        controls=findings.controls,
        naturalness=scores.naturalness,
        holdout=scores.holdout,
        complement=scores.complement,
        without_complement=scores.without_complement,
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


def final_figures(summary: AlignmentSummary) -> dict[str, float]:
    """Return the scores of an alignment by name, as trackers log them. What is not known is left out."""
    figures = {"worst IIA": summary.worst_iia, "rank": summary.rank, "steps": summary.steps}
    if summary.iia:
        figures["mean IIA"] = float(np.mean([score.iia for score in summary.iia]))
    for score in summary.iia:
        direction = f"{score.source} to {score.target} ({score.variable})"
        figures |= {f"IIA {direction}": score.iia, f"no swap {direction}": score.no_swap}
    if summary.holdout:
        figures["worst IIA (held-out values)"] = min(score.iia for score in summary.holdout)
    for kept in summary.complement:
        figures[f"complement {kept.site} ({kept.variable})"] = kept.complement
    for control, scores in summary.control_scores.items():
        figures[f"worst IIA {control} (control)"] = min(scores)
    for latent in summary.latent:
        figures[f"latent distance {latent.source} to {latent.target} ({latent.variable})"] = latent.distance
    return {name: float(value) for name, value in figures.items() if value is not None}


def _worst_interval(scores: AlignmentScores) -> tuple[float, float] | tuple[None, None]:
    trained = scores.trained
    return worst_interval([each.iia for each in trained], [each.rows for each in trained]) if trained else (None, None)


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
            variables=_keys(site, request.variables.of_site(index)),
            width=site.width,
            fingerprint=site.fingerprint,
            origin=site.network.origin if isinstance(site, Site) else None,
            accuracy=share,
            recording=summary_of(site) if isinstance(site, Recording) else None,
        )
        for index, (site, name, share) in enumerate(zip(request.sites, request.names, accuracy, strict=True))
    )


def _variable(variables: Variables) -> str | tuple[str, ...]:
    """The variable, or one for each site where they differ, or all names of several."""
    if len(variables) > 1:
        return ", ".join(variables.names)
    (at_sites,) = variables.at_sites
    return str(at_sites[0]) if len(set(at_sites)) == 1 else tuple(map(str, at_sites))


def _keys(site: Readable, variables: Sequence[Variable]) -> tuple[str, ...]:
    """The names of what is swapped at a site: variables of its task, if it has one."""
    named = [site.task.keys(each.name) if site.task.variables else (str(each),) for each in variables]
    return tuple(dict.fromkeys(name for names in named for name in names))


def _versions() -> dict[str, str]:
    """The versions of what a result depends on."""
    return {
        "causalign": __version__,
        "torch": torch.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
    }
