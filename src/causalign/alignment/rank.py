"""The least rank whose maps do as well as those of full rank, but for a tolerance."""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from causalign.alignment.result import RankTried
from causalign.errors import CausalignError
from causalign.maps import AlignmentMap
from causalign.search import Found

Searched = Callable[[Sequence[AlignmentMap]], Found]
"""A search that begins at given maps, at their rank."""


def least_rank(
    searched: Searched,
    start: Sequence[AlignmentMap],
    means: Sequence[Float[Tensor, "values _"]],
    tolerance: float,
) -> tuple[Found, list[RankTried]]:
    """Halve the rank until the worst direction falls short of the full rank's by more than `tolerance`, then bisect.

    All is decided on validation interventions. Each rank begins at the best maps of the next higher one that was good
    enough, turned and cut to what tells the values apart best. An interrupted search ends the whole.

    Args:
        searched: runs a search.
        start: the maps of full rank to begin at.
        means: the networks' mean states by value, in one order.
        tolerance: how much lower the worst IIA may be.

    Returns:
        What was found at the least rank that was good enough, and all ranks that were tried.

    Raises:
        CausalignError: the method runs no target, so that there is no IIA to go by.
    """
    best = searched(start)
    if best.best.worst_iia is None:
        raise CausalignError('rank="auto" goes by the IIA in the search, and this method runs no target there')
    enough = best.best.worst_iia - tolerance
    tried = [_tried(best)]
    good, bad = start[0].rank, 0
    while good - bad > 1 and best.stopped != "interrupted":
        rank = good // 2 if bad == 0 else (good + bad) // 2
        found = searched(cut(best.maps, means, rank))
        tried.append(_tried(found))
        if (found.best.worst_iia or 0.0) >= enough:
            best, good = found, rank
        elif found.stopped == "interrupted":
            break
        else:
            bad = rank
    return best, tried


def cut(maps: Sequence[AlignmentMap], means: Sequence[Float[Tensor, "values _"]], rank: int) -> list[AlignmentMap]:
    """The maps at a lower rank: the coordinates along which the mean states differ most, the same for all networks.

    Turning the aligned space of all maps alike changes no interchange; cutting it then loses the least.
    """
    aligned = [each.project(mean.to(each.frame)).double() for each, mean in zip(maps, means, strict=True)]
    _, _, turned = torch.linalg.svd(torch.cat(aligned), full_matrices=True)
    return [AlignmentMap(each.frame @ turned[:rank].mT.to(each.frame), each.scale) for each in maps]


def _tried(found: Found) -> RankTried:
    return RankTried(rank=found.maps[0].rank, worst_iia=found.best.worst_iia or 0.0, steps=found.steps)
