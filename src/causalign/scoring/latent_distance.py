"""How near a swap brings states that cannot be run on to states that were recorded with the values it asks for."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from causalign.counterfactuals.direction import Direction
from causalign.counterfactuals.interventions import Swap, keep
from causalign.counterfactuals.rows import CounterfactualRows
from causalign.maps.base import AlignmentMap
from causalign.random_streams import numpy_stream
from causalign.scoring.iia import AT_ONCE
from causalign.storage import forget_mapped_pages
from causalign.tasks.variable import Variable

_RESAMPLED = 1000


def latent_distance(
    latents: Float[Tensor, "trials width"], states: Float[Tensor, "trials width"]
) -> Float[Tensor, " trials"]:
    """Of each intervention what equation 8 averages: 1/2 mean((h_CL - h')^2) + 1/2 (1 - cos(h_CL, h'))."""
    squared = (latents - states).square().mean(dim=-1)
    return (squared + 1 - functional.cosine_similarity(latents, states, dim=-1)) / 2


def latent_table(
    names: Sequence[str],
    variables: Sequence[Variable],
    maps: Sequence[AlignmentMap],
    swap: Swap,
    *,
    interventions: Mapping[Direction, CounterfactualRows],
    seed: int,
) -> pd.DataFrame:
    """The latent objective (equation 8) of held-out interventions, direction by direction.

    The 95 % interval is of the mean, by bootstrap over the target's trials: interventions into one trial share it.

    Returns:
        `source, target, variable, distance, ci_low, ci_high, no_swap, interventions, trials`; `no_swap` is the
        distance with nothing swapped, `trials` those of the target that were swapped into.
    """
    rows = []
    for direction, given in interventions.items():
        source, target = direction
        distances = _distances(maps, swap, direction, given)
        trial = given.places.trial.cpu().numpy()
        low, high = _interval(distances, trial, numpy_stream(seed, "latents", "bootstrap", *direction))
        written, of = variables[target], variables[source]
        rows.append(
            {
                "source": names[source],
                "target": names[target],
                "variable": str(written) if written == of else f"{of} -> {written}",
                "distance": float(distances.mean()),
                "ci_low": low,
                "ci_high": high,
                "no_swap": float(_distances(maps, keep, direction, given).mean()),
                "interventions": len(given),
                "trials": len(np.unique(trial)),
            }
        )
    return pd.DataFrame(rows)


@torch.no_grad()
def _distances(
    maps: Sequence[AlignmentMap], swap: Swap, direction: Direction, given: CounterfactualRows
) -> Float[np.ndarray, " interventions"]:
    parts = []
    for chunk in torch.arange(len(given)).split(AT_ONCE):
        batch = given.take(chunk)
        assert batch.latents is not None
        swapped = swap(batch.target_states, batch.source_states, maps[direction.target], maps[direction.source])
        parts.append(latent_distance(batch.latents, swapped).cpu())
        forget_mapped_pages()
    return torch.cat(parts).double().numpy()


def _interval(
    distances: Float[np.ndarray, " interventions"], trial: np.ndarray, rng: np.random.Generator
) -> tuple[float, float]:
    """The middle 95 % of the means that resampled trials give."""
    _, which = np.unique(trial, return_inverse=True)
    sums, counts = np.bincount(which, distances), np.bincount(which)
    drawn = rng.integers(len(sums), size=(_RESAMPLED, len(sums)))
    means = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    low, high = np.quantile(means, (0.025, 0.975))
    return float(low), float(high)
