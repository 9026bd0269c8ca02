"""Which rank: the best of several, or the least whose maps do as well as those of the best, but for a tolerance."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from causalign.callbacks import Callback
from causalign.maps.base import AlignmentMap
from causalign.search.config import SearchConfig
from causalign.search.search import Search, SearchResult, StopReason


@dataclass(frozen=True)
class RankTrial:
    """A rank that was tried, and its result on validation."""

    rank: int
    worst_iia: float
    steps: int
    stopped: StopReason


Searched = Callable[[Sequence[AlignmentMap]], SearchResult]
"""A search that begins at given maps, at their rank."""


def best_rank(
    new_search: Callable[[Sequence[AlignmentMap]], Search],
    starts: Sequence[Sequence[AlignmentMap]],
    settings: SearchConfig,
    listener: Callback,
) -> tuple[SearchResult, list[RankTrial]]:
    """Search at each rank for some steps (`Settings.trial`), and go on at that which is best on validation.

    A rank that is good enough by then (`Settings.enough`), or leaves less to be gained than `Settings.least_gain`,
    needs no other beside it.

    Args:
        new_search: a search that has not taken a step yet.
        starts: the maps of each rank to begin at.
        settings: of the searches.
        listener: is told how far they are.

    Returns:
        What was found at the best rank, and all ranks that were tried.
    """
    searches, found = list[Search](), list[SearchResult]()
    for start in starts:
        searches.append(new_search(start))
        found.append(searches[-1].go_on(settings.trial, listener))
        if found[-1].stopped in ("enough", "interrupted") or _little_left(found[-1], settings.least_gain):
            break
    best = 0
    for index, each in enumerate(found):
        if each.best.better_than(found[best].best):
            best = index
    if found[-1].stopped == "interrupted":
        found[best] = replace(found[best], stopped="interrupted")
    else:
        found[best] = searches[best].go_on(settings.most_steps, listener)
    tried = [_tried(each.maps[0].rank, each if i == best else _outdone(each, settings)) for i, each in enumerate(found)]
    return found[best], tried


def _little_left(found: SearchResult, least_gain: float) -> bool:
    """Whether no other rank could be better by the least gain, where it is IIA that is gone by."""
    return found.best.validation_loss is None and (found.best.worst_iia or 0.0) >= 1 - least_gain


def _outdone(found: SearchResult, settings: SearchConfig) -> SearchResult:
    """A search that another was let go on instead of."""
    paused = found.stopped == "steps" and found.steps < settings.most_steps
    return replace(found, stopped="outdone") if paused else found


def smallest_rank(
    run_search: Searched,
    start: Sequence[AlignmentMap],
    means: Sequence[Float[Tensor, "values _"]],
    tolerance: float,
) -> tuple[SearchResult, list[RankTrial]]:
    """Halve the rank until the worst direction falls short of the best rank's by more than `tolerance`, then bisect.

    The best need not be the full rank: there a swap replaces the whole state, and with it what a single variable
    leaves alone. All is decided on validation interventions. Each rank begins at the maps of the least higher one that
    was good enough, turned and cut to what tells the values apart best. An interrupted search ends the whole.

    Args:
        run_search: runs a search.
        start: the maps of full rank to begin at.
        means: the networks' mean states by value, in one order.
        tolerance: how much lower the worst IIA may be.

    Returns:
        What was found at the least rank that was good enough, and all ranks that were tried.
    """
    found = {start[0].rank: run_search(start)}
    while next(reversed(found.values())).stopped != "interrupted":
        good = _good(found, tolerance)
        bad = max((rank for rank in found if rank < good), default=0)
        if good - bad == 1:
            break
        rank = good // 2 if bad == 0 else (good + bad) // 2
        found[rank] = run_search(cut(found[good].maps, means, rank))
    best = found[_good(found, tolerance)]
    if next(reversed(found.values())).stopped == "interrupted":
        best = replace(best, stopped="interrupted")
    return best, [_tried(rank, each) for rank, each in found.items()]


def _good(found: dict[int, SearchResult], tolerance: float) -> int:
    """The least of the ranks that are within the tolerance of the best."""
    scores = {rank: each.best.worst_iia or 0.0 for rank, each in found.items()}
    return min(rank for rank, score in scores.items() if score >= max(scores.values()) - tolerance)


def cut(maps: Sequence[AlignmentMap], means: Sequence[Float[Tensor, "values _"]], rank: int) -> list[AlignmentMap]:
    """The maps at a lower rank: the coordinates along which the mean states differ most, the same for all networks.

    Turning the aligned space of all maps alike changes no interchange; cutting it then loses the least.
    """
    aligned = [each.project(mean.to(each.frame)).double() for each, mean in zip(maps, means, strict=True)]
    differing = torch.cat([states - states.mean(0) for states in aligned])
    _, _, turned = torch.linalg.svd(differing, full_matrices=True)
    return [AlignmentMap(each.frame @ turned[:rank].mT.to(each.frame), each.scale) for each in maps]


def _tried(rank: int, found: SearchResult) -> RankTrial:
    return RankTrial(rank=rank, worst_iia=found.best.worst_iia or 0.0, steps=found.steps, stopped=found.stopped)
