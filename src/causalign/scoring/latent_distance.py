"""The distance of swapped states to counterfactual latents, for targets that cannot be run."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from causalign.counterfactuals.direction import Direction
from causalign.counterfactuals.interventions import Swap, intervene, keep
from causalign.counterfactuals.rows import CounterfactualRows
from causalign.counterfactuals.variables import Variables
from causalign.maps.base import AlignmentMap
from causalign.random_streams import numpy_stream
from causalign.scoring.iia import AT_ONCE
from causalign.storage import forget_mapped_pages

_RESAMPLED = 1000


def latent_distance(
    latents: Float[Tensor, "trials *swaps width"], states: Float[Tensor, "trials *swaps width"]
) -> Float[Tensor, " trials"]:
    """Return the term of equation 8 for each row: 1/2 mean((h_CL - h')^2) + 1/2 (1 - cos(h_CL, h')).

    Where several states are swapped in a row, it is their mean.
    """
    squared = (latents - states).square().mean(dim=-1)
    distance = (squared + 1 - functional.cosine_similarity(latents, states, dim=-1)) / 2
    return distance.flatten(1).mean(1) if distance.dim() > 1 else distance


def latent_table(
    names: Sequence[str],
    variables: Variables,
    maps: Sequence[AlignmentMap],
    swap: Swap,
    *,
    rows: Mapping[Direction, CounterfactualRows],
    seed: int,
) -> pd.DataFrame:
    """Return a table with the latent objective (equation 8) of held-out rows for each direction and variable.

    The 95 % interval of the mean is by bootstrap over the target's trials, because several rows may share a trial.

    Args:
        names: The names of the sites.
        variables: The variables.
        maps: The alignment map of each site.
        swap: The intervention.
        rows: The rows of each direction, with counterfactual latents.
        seed: The seed of the bootstrap.

    Returns:
        The columns `source, target, variable, distance, ci_low, ci_high, no_swap, rows, trials`. `no_swap` is
        the distance with nothing swapped, `rows` the number of rows, and `trials` the number of the target's
        trials among them.
    """
    lines = []
    for direction, held_out in rows.items():
        after, before = (_distances(maps, each, direction, held_out) for each in (swap, keep))
        trials = held_out.places.trial.cpu().numpy()
        for variable, index in held_out.by_variable().items():
            distances, trial = after[index], trials[index]
            stream = numpy_stream(seed, "latents", "bootstrap", *direction, *([variable] if variable else []))
            low, high = _interval(distances, trial, stream)
            lines.append(
                {
                    "source": names[direction.source],
                    "target": names[direction.target],
                    "variable": variables.label(variable, direction),
                    "distance": float(distances.mean()),
                    "ci_low": low,
                    "ci_high": high,
                    "no_swap": float(before[index].mean()),
                    "rows": len(distances),
                    "trials": len(np.unique(trial)),
                }
            )
    return pd.DataFrame(lines)


@torch.no_grad()
def _distances(
    maps: Sequence[AlignmentMap], swap: Swap, direction: Direction, rows: CounterfactualRows
) -> Float[np.ndarray, " rows"]:
    parts = []
    for chunk in torch.arange(len(rows)).split(AT_ONCE):
        batch = rows.take(chunk)
        assert batch.latents is not None
        swapped = intervene(swap, batch, maps[direction.target], maps[direction.source])
        parts.append(latent_distance(batch.latents, swapped).cpu())
        forget_mapped_pages()
    return torch.cat(parts).double().numpy()


def _interval(
    distances: Float[np.ndarray, " rows"], trial: np.ndarray, rng: np.random.Generator
) -> tuple[float, float]:
    """Return the middle 95 % of the means over resampled trials."""
    _, which = np.unique(trial, return_inverse=True)
    sums, counts = np.bincount(which, distances), np.bincount(which)
    drawn = rng.integers(len(sums), size=(_RESAMPLED, len(sums)))
    means = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    low, high = np.quantile(means, (0.025, 0.975))
    return float(low), float(high)
