"""What a search minimises, direction by direction."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from causalign.engine.batch import Batch
from causalign.engine.run import run_interventions
from causalign.errors import InvalidArgument
from causalign.scoring.latent_distance import latent_distance
from causalign.sites.readable import Readable

Loss = Callable[[Readable, Sequence[Batch], Sequence[Float[Tensor, "trials ... width"]]], Float[Tensor, ""]]
"""The loss of batches of interventions into one site, one batch a direction, summed over directions.

Differentiable in the swapped states, which are its last argument.
"""


@dataclass(frozen=True)
class Objective:
    """A loss, what it weighs beside others, and what it asks of the target."""

    name: str
    loss: Loss
    runs_target: bool
    """Whether the target is run on, so that its behaviour tells how good the maps are; otherwise only the loss does."""
    weight: float = 1.0

    @property
    def uses_latents(self) -> bool:
        """Whether interventions need counterfactual latents."""
        return not self.runs_target


def behavior_loss(
    site: Readable, batches: Sequence[Batch], swapped: Sequence[Float[Tensor, "trials ... width"]]
) -> Float[Tensor, ""]:
    """The next-token loss on the continuation, equation 5: a sum over its tokens, a mean over interventions.

    The batches have the same size, so that one sum over their tokens serves all directions.
    """
    return run_interventions(site, batches, swapped).loss() / len(batches[0])


def latent_loss(
    site: Readable, batches: Sequence[Batch], swapped: Sequence[Float[Tensor, "trials width"]]
) -> Float[Tensor, ""]:
    """The distance to counterfactual latents, equation 8: half the mean squared error and half of 1 - cosine.

    A_st = 1/N sum_i [ 1/2 mean((h_CL - h')^2) + 1/2 (1 - cos(h_CL, h')) ]. The network is not run.
    """
    total = swapped[0].new_zeros(())
    for batch, states in zip(batches, swapped, strict=True):
        if batch.latents is None:
            raise InvalidArgument(f"{site.name}: no counterfactual latents were looked up")
        total = total + latent_distance(batch.latents, states).mean()
    return total


behaviour = Objective("behaviour", behavior_loss, runs_target=True)
latent = Objective("latent", latent_loss, runs_target=False)
