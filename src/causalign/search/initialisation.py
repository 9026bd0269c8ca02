"""Alignment maps in closed form: generalized Procrustes analysis.

The maps are the rotations and scales that bring the paired states of all networks closest together:

    minimize  sum_i || a_i M_i V_i - Z ||^2   over orthonormal V_i (width x rank), scales a_i, and the consensus Z

M_i `[rows, width]` are the states of network i. The states are not centered, because an interchange moves the offset of
the subspace as well. A search starts from the mean states of each value of the variable, which show where a network
encodes the variable. The `procrustes` method uses the states of the same trials instead.

Several variables are solved one by one, and their frames are then brought into one (`block_maps`).
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from causalign.errors import InvalidArgument
from causalign.maps.base import AlignmentMap, block_columns, random_frame

_ROUNDS = 50
_AT_ONCE = 1024  # rows that are compressed together


def generalized_procrustes(
    paired: Sequence[Float[Tensor, "rows _"]], rank: int, train_scale: bool
) -> list[AlignmentMap]:
    """Return one map per network, from states with aligned rows.

    The problem is solved in float64, by alternating the exact solutions for Z, V_i and a_i.

    Args:
        paired: The states of each network, `[rows, width]`.
        rank: The rank of the maps.
        train_scale: Whether the scales are solved for, or are all 1.

    Raises:
        InvalidArgument: The states of a network are all zero.
    """
    raw = _compressed([states.cpu().double() for states in paired])
    norms = [float(torch.linalg.norm(states)) for states in raw]
    if 0.0 in norms:
        raise InvalidArgument("the states of a site are all zero on average: there is no closed-form start")
    means = [states / norm for states, norm in zip(raw, norms, strict=True)]
    scales = [1.0] * len(means)
    consensus = _leading(torch.cat(means, dim=1), rank)
    frames = [_nearest_frame(mean.mT @ consensus) for mean in means]
    for _ in range(_ROUNDS):
        mapped = [mean @ frame for mean, frame in zip(means, frames, strict=True)]
        if train_scale:
            scales = [float((consensus * m).sum() / (m * m).sum()) for m in mapped]
        consensus = torch.stack([a * m for a, m in zip(scales, mapped, strict=True)]).mean(0)
        consensus = consensus / torch.linalg.norm(consensus)
        frames = [_nearest_frame(mean.mT @ consensus) for mean in means]
    absolute = [a / n for a, n in zip(scales, norms, strict=True)] if train_scale else scales
    typical = float(np.exp(np.mean(np.log(absolute))))  # only the ratios of scales matter, so keep them near 1
    return [AlignmentMap(f.float(), a / typical) for f, a in zip(frames, absolute, strict=True)]


def block_maps(
    means: Sequence[Sequence[Float[Tensor, "_ _"]]],
    ranks: Mapping[str, int],
    train_scale: bool,
    generators: Sequence[torch.Generator],
) -> list[AlignmentMap]:
    """Return one map per network with a block for each variable, from the mean states of each variable's classes.

    The means are centered: what the classes of one variable have in common is also in the means of the others, and the
    blocks are disjoint. So n classes determine n - 1 columns of a block at most. They are solved for each variable
    alone, and replaced by the nearest orthonormal ones (the polar factor of all of them). The columns that are left of
    a block are drawn at random from the rest of the space. The scale is the geometric mean over the variables.

    Args:
        means: For each variable, the mean states of each network, `[classes, width]`, with aligned rows.
        ranks: The rank of the block of each variable, in the order of `means`. They sum to the width at most.
        train_scale: Whether the scales are solved for, or are all 1.
        generators: A random generator for each network.

    Raises:
        InvalidArgument: The centered mean states of a network are all zero.
    """
    solved = []
    for of_variable, rank in zip(means, ranks.values(), strict=True):
        centered = [each.double() - each.double().mean(0) for each in of_variable]
        solved.append(generalized_procrustes(centered, min(rank, max(1, len(centered[0]) - 1)), train_scale))
    maps = []
    for site, generator in enumerate(generators):
        alone = [of_variable[site] for of_variable in solved]
        frame = _joint_frame([each.frame for each in alone], list(ranks.values()), generator)
        scale = float(np.exp(np.mean([np.log(float(each.scale)) for each in alone])))
        maps.append(AlignmentMap(frame, scale, blocks=block_columns(ranks)))
    return maps


def _joint_frame(
    frames: Sequence[Float[Tensor, "width _"]], ranks: Sequence[int], generator: torch.Generator
) -> Float[Tensor, "width rank"]:
    """Return one orthonormal frame: the columns nearest to all frames, and random ones where a block has too few."""
    lengths = [frame.shape[1] for frame in frames]
    solved = _nearest_frame(torch.cat(list(frames), dim=1).double())
    drawn = random_frame(len(solved), max(1, sum(ranks) - sum(lengths)), generator).double()
    drawn = torch.linalg.qr(torch.cat([solved, drawn], dim=1)).Q[:, sum(lengths) :]
    lacking = [rank - length for rank, length in zip(ranks, lengths, strict=True)]
    columns = zip(solved.split(lengths, dim=1), drawn[:, : sum(lacking)].split(lacking, dim=1), strict=True)
    return torch.cat([part for block in columns for part in block], dim=1).float()


def _compressed(paired: Sequence[Float[Tensor, "rows _"]]) -> list[Float[Tensor, "fewer _"]]:
    """Return the states in fewer rows, if there are many. A rotation of the rows changes no distance.

    Where there are very many, they are added to a triangular factor some at a time, so that no second copy is held.
    """
    widths = [states.shape[1] for states in paired]
    if len(paired[0]) <= sum(widths):
        return list(paired)
    factor = paired[0].new_zeros(0, sum(widths))
    for parts in zip(*(states.split(max(_AT_ONCE, sum(widths))) for states in paired), strict=True):
        factor = torch.linalg.qr(torch.cat([factor, torch.cat(parts, dim=1)]), mode="r").R
    return list(factor.split(widths, dim=1))


def _leading(matrix: Float[Tensor, "values width"], rank: int) -> Float[Tensor, "values rank"]:
    """Return the `rank` leading principal coordinates of the rows, padded with zero columns."""
    u, s, _ = torch.linalg.svd(matrix, full_matrices=False)
    leading = (u * s)[:, :rank]
    return torch.nn.functional.pad(leading, (0, rank - leading.shape[1]))


def _nearest_frame(matrix: Float[Tensor, "width rank"]) -> Float[Tensor, "width rank"]:
    """Return the orthonormal columns with the greatest overlap with `matrix`, its polar factor."""
    u, _, vh = torch.linalg.svd(matrix, full_matrices=False)
    return u @ vh
