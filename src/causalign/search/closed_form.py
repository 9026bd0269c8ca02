"""Alignment maps without any search: generalised Procrustes on class means.

The mean state of each value of the variable shows where a network keeps it. The maps are the rotations and scales that
bring these means of all networks closest together:

    minimise  sum_i || a_i M_i V_i - Z ||^2   over orthonormal V_i (width x rank), scales a_i, and the consensus Z

with M_i `[values, width]` the means of network i. The means are not centred, because an interchange is not: it moves
the offset of the subspace as well.
"""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from causalign.errors import CausalignError
from causalign.interchange import Recorded
from causalign.maps import AlignmentMap

_ROUNDS = 50


def closed_form(
    recorded: Sequence[Recorded], keys: Sequence[Sequence[str]], rank: int, train_scale: bool
) -> list[AlignmentMap]:
    """One map a network, from its recorded states; `keys[i]` are the variables of network i that are aligned.

    Solved in float64, by alternating the exact solutions for Z, V_i and a_i.

    Raises:
        CausalignError: the networks' trials share no value of the variable, or a network's states are all zero.
    """
    raw = class_means(recorded, keys)
    norms = [float(torch.linalg.norm(mean)) for mean in raw]
    if 0.0 in norms:
        raise CausalignError("the states of a site are all zero on average: no closed form to start from")
    means = [mean / norm for mean, norm in zip(raw, norms, strict=True)]
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
    typical = float(np.exp(np.mean(np.log(absolute))))  # only ratios of scales matter: keep them near 1
    return [AlignmentMap(f.float(), a / typical) for f, a in zip(frames, absolute, strict=True)]


def class_means(recorded: Sequence[Recorded], keys: Sequence[Sequence[str]]) -> list[Float[Tensor, "values width"]]:
    """The mean state of each value of the variable, for the values that all networks' trials have, in one order."""
    grouped = []
    for samples, names in zip(recorded, keys, strict=True):
        labels = np.stack([samples.values[key] for key in names], axis=1)
        values, which = np.unique(labels, axis=0, return_inverse=True)
        grouped.append((list(map(tuple, values.tolist())), _means(samples.states, which)))
    shared = sorted(set.intersection(*(set(values) for values, _ in grouped)))
    if not shared:
        raise CausalignError("the networks' trials share no value of the variable: no closed form to start from")
    return [means[[values.index(value) for value in shared]] for values, means in grouped]


def _means(states: Float[Tensor, "samples width"], which: Int[np.ndarray, " samples"]) -> Float[Tensor, "values width"]:
    """The mean state of each class, in float64."""
    index = torch.from_numpy(which)
    sums = torch.zeros(int(which.max()) + 1, states.shape[1], dtype=torch.float64)
    return sums.index_add_(0, index, states.cpu().double()) / index.bincount()[:, None]


def _leading(matrix: Float[Tensor, "values width"], rank: int) -> Float[Tensor, "values rank"]:
    """The `rank` leading principal coordinates of the rows, with zero columns where there are fewer."""
    u, s, _ = torch.linalg.svd(matrix, full_matrices=False)
    leading = (u * s)[:, :rank]
    return torch.nn.functional.pad(leading, (0, rank - leading.shape[1]))


def _nearest_frame(matrix: Float[Tensor, "width rank"]) -> Float[Tensor, "width rank"]:
    """The orthonormal columns with the greatest overlap with `matrix`: its polar factor."""
    u, _, vh = torch.linalg.svd(matrix, full_matrices=False)
    return u @ vh
