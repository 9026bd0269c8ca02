"""What a search minimises."""

from collections.abc import Callable, Sequence

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from causalign.interchange import Interventions, run_swapped
from causalign.sites import Site

Objective = Callable[
    [Site, Sequence[Interventions], Sequence[Float[Tensor, "trials width"]]],
    Float[Tensor, ""],
]
"""The loss of batches of interventions into one site, one batch a direction, summed over directions.

Differentiable in the swapped states, which are its last argument.
"""


def behaviour(
    site: Site, batches: Sequence[Interventions], swapped: Sequence[Float[Tensor, "trials width"]]
) -> Float[Tensor, ""]:
    """The next-token loss on the continuation, equation 5: a sum over its tokens, a mean over interventions.

    The batches have the same size, so that one sum over their tokens serves all directions.
    """
    run = run_swapped(site, batches, swapped)
    return functional.cross_entropy(run.logits, run.tokens, reduction="sum") / len(batches[0])
