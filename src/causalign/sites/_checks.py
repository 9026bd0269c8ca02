"""What a site has to show before it is trusted with a search."""

import torch

from causalign._random import numpy_stream, torch_stream
from causalign.errors import CausalignError
from causalign.sites._base import Continuation, Site, finite

TOLERANCE = 1e-4
_TRIALS = 8


def check(site: Site, seed: int = 0) -> None:
    """Run a site on a few trials: does it repeat itself, resume to what the whole network says, and heed a swap?

    Raises:
        CausalignError: the network is not frozen, two readings differ, states are NaN or infinite, the resumed run
            with nothing swapped is not the plain run (to 1e-4), or a random swap leaves every output unchanged.
    """
    site.require_frozen()
    trials = site.task.trials(_TRIALS, numpy_stream(seed, "check"))
    tokens = site.encode(trials.tokens)
    states = finite(site.read(tokens), site)
    if not torch.equal(states, site.read(tokens)):
        raise CausalignError(f"{site.name}: two readings of the same trials differ; is something still random in it?")
    rows = torch.arange(_TRIALS, device=site.device)
    positions = torch.ones_like(rows)
    lengths = torch.from_numpy(trials.lengths).to(site.device) - 2
    order = lengths.argsort(descending=True, stable=True)
    continuation = Continuation.pack(tokens[order, 2:], lengths[order])
    prepared = {name: value[order] for name, value in site.prepare(tokens, positions).items()}
    state = states[rows, positions][order]
    with torch.no_grad():
        plain = site.network(tokens)[order[continuation.trial], continuation.step + 1]
        resumed = site.resume(prepared, state, continuation)
        spread = state.std() + state.abs().mean() + 1e-3
        noise = torch.randn(state.shape, generator=torch_stream(seed, "check"), dtype=state.dtype).to(state.device)
        swapped = site.resume(prepared, state + spread * noise, continuation)
    difference = float((plain - resumed).abs().max())
    if not difference <= TOLERANCE:
        raise CausalignError(
            f"{site.name}: resumed with nothing swapped, its logits differ from the plain run's by {difference:.2g}"
        )
    if torch.equal(swapped, resumed):
        raise CausalignError(f"{site.name}: swapping its state leaves every output unchanged")
