"""Checks of a site in a module that takes tensors: they run when it is made, and on the rows of a dataset."""

from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from causalign.errors import InvalidArgument
from causalign.networks.example_inputs import Tensors
from causalign.sites.base import Continuation, Places
from causalign.sites.checks import is_learnable, perturb
from causalign.sites.prefix import Prefix
from causalign.sites.readable import finite

if TYPE_CHECKING:
    from causalign.sites.modules.tensor_site import TensorSite


def check_tensors(
    site: "TensorSite",
    inputs: Tensors,
    labels: tuple[Prefix, Continuation],
    places: Places | None = None,
    seed: int = 0,
) -> None:
    """Check a site on a few rows.

    Check that the site is deterministic, that states do not depend on the other rows, that swapping a state for itself
    changes nothing, that swapping it for another changes the output, and that a gradient reaches it.

    Args:
        site: The site.
        inputs: The inputs.
        labels: The prefix of these inputs, and a label for each row.
        places: The place of each row's swap. By default, the first position.
        seed: The seed of the random swap.

    Raises:
        InvalidArgument: The network is not frozen, or a check fails.
    """
    site.require_frozen()
    states = finite(site.read(inputs), site)
    if not torch.equal(states, site.read(inputs)):
        raise InvalidArgument(f"{site.name}: two reads of the same rows differ; is something still random in it?")
    _require_row_independence(site, inputs, states)
    prefix, continuation = labels
    rows = torch.arange(len(states), device=site.device)
    places = Places(rows, torch.zeros_like(rows)) if places is None else places
    own = states[rows, places.position]
    with torch.no_grad():
        plain = site.read_out(site.plain(prefix, places.trial, continuation))
        resumed = site.resume(prefix, places, own, continuation)
    difference, most = float((plain - resumed).abs().max()), site.absolute_tolerance(plain)
    if not difference <= most:
        raise InvalidArgument(
            f"{site.name}: with its own states put back, the logits change by {difference:.2g}; at most {most:.2g} is "
            "tolerated"
        )
    with torch.enable_grad():
        swapped_in = perturb(own, seed).requires_grad_()
        swapped = site.resume(prefix, places, swapped_in, continuation)
    if torch.equal(swapped.detach(), resumed):
        raise InvalidArgument(f"{site.name}: swapping its state leaves every output unchanged")
    if not swapped.requires_grad or not is_learnable(swapped, swapped_in):
        raise InvalidArgument(f"{site.name}: no gradient reaches its state, so no map could be learned")


def _require_row_independence(
    site: "TensorSite", inputs: Tensors, states: Float[Tensor, "rows positions width"]
) -> None:
    alone = site.read({name: each[:1] for name, each in inputs.items()})
    difference, most = float((states[:1] - alone).abs().max()), site.absolute_tolerance(alone)
    if not difference <= most:
        raise InvalidArgument(
            f"{site.name}: the state of a row changes by {difference:.2g} with the other rows beside it; at most "
            f"{most:.2g} is tolerated"
        )
