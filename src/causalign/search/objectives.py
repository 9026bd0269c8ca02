"""Objectives: what a search minimizes in a direction.

weighted sum = behavior * (equation 5) + latent * (equation 8)
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from causalign.engine.batch import Batch
from causalign.engine.run import run_interventions
from causalign.errors import InvalidArgument
from causalign.scoring.latent_distance import latent_distance
from causalign.sites.readable import Readable


@dataclass(frozen=True)
class Objective:
    """The weights of the two losses in one direction.

    Attributes:
        behavior: The weight of the cross-entropy on the expected output. At 0 the target is not run.
        latent: The weight of the distance to counterfactual latents. At 0 none are needed.

    Raises:
        InvalidArgument: A weight is negative or not finite, or both are 0.
    """

    behavior: float = 1.0
    latent: float = 0.0

    def __post_init__(self) -> None:
        for name in ("behavior", "latent"):
            weight = getattr(self, name)
            if not isinstance(weight, int | float) or not 0 <= weight < math.inf:
                raise InvalidArgument(f"the {name} weight of an objective is at least 0 and finite, found {weight!r}")
        if self.behavior == self.latent == 0:
            raise InvalidArgument("an objective has a behavior or a latent weight above 0; found none")

    @property
    def runs_target(self) -> bool:
        """Whether the target is run, so that its IIA shows how good the maps are; otherwise only the loss does."""
        return self.behavior > 0

    @property
    def uses_latents(self) -> bool:
        """Whether rows need counterfactual latents."""
        return self.latent > 0

    def loss(
        self, site: Readable, batches: Sequence[Batch], states: Sequence[Float[Tensor, "rows ... width"]]
    ) -> Float[Tensor, ""]:
        """Return the weighted loss of batches of rows into one site, one batch a direction, summed over directions.

        `states` are those after the swap; the loss is differentiable in them.
        """
        total = states[0].new_zeros(())
        if self.runs_target:
            total = total + self.behavior * behavior_loss(site, batches, states)
        if self.uses_latents:
            total = total + self.latent * latent_loss(site, batches, states)
        return total


def behavior_loss(
    site: Readable, batches: Sequence[Batch], states: Sequence[Float[Tensor, "rows ... width"]]
) -> Float[Tensor, ""]:
    """Return the cross-entropy on the expected output, equation 5: a sum over its tokens, a mean over rows.

    The batches have the same size, so that one sum over their tokens serves all directions.
    """
    return run_interventions(site, batches, states).loss() / len(batches[0])


def latent_loss(
    site: Readable, batches: Sequence[Batch], states: Sequence[Float[Tensor, "rows ... width"]]
) -> Float[Tensor, ""]:
    """Return the distance to counterfactual latents, equation 8: half the mean squared error and half of 1 - cosine.

    A_st = 1/N sum_i [ 1/2 mean((h_CL - h')^2) + 1/2 (1 - cos(h_CL, h')) ]. The network is not run.

    Raises:
        InvalidArgument: A batch has no counterfactual latents.
    """
    total = states[0].new_zeros(())
    for batch, swapped in zip(batches, states, strict=True):
        if batch.latents is None:
            raise InvalidArgument(f"{site.name}: its rows have no counterfactual latents")
        total = total + latent_distance(batch.latents, swapped).mean()
    return total
