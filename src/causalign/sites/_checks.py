"""What a site has to show before it is trusted with a search."""

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from causalign._random import numpy_stream, torch_stream
from causalign.errors import CausalignError
from causalign.sites._base import Continuation, Places, Site, finite

TOLERANCE = 1e-4
_TRIALS = 16


def check(site: Site, seed: int = 0, stepwise: bool = False) -> None:
    """Run a site on a few trials of its task, each with a swap at the first place where one may happen.

    With `stepwise`, the states of all positions up to the place are swapped instead of one.

    Raises:
        CausalignError: as `check_on`; or the task writes nothing that a swap may follow.
    """
    trials = site.task.trials(_TRIALS, numpy_stream(seed, "check"))
    trial, position = site.task.swappable(trials.tokens).nonzero()
    chosen, first = np.unique(trial, return_index=True)  # the first place of each trial where a swap may happen
    if len(chosen) == 0:
        raise CausalignError(f"{site.task.name} writes none of the tokens {site.task.swap_at} that a swap follows")
    places = position[first]
    check_on(site, site.encode(trials.tokens[chosen]), places, trials.lengths[chosen] - places - 1, seed, stepwise)


def check_on(
    site: Site,
    tokens: Int[Tensor, "trials time"],
    position: Int[np.ndarray, " trials"],
    remaining: Int[np.ndarray, " trials"],
    seed: int = 0,
    stepwise: bool = False,
) -> None:
    """Run a site on given tokens: does it repeat itself, resume to what the whole network says, and heed a swap?

    Each trial has a swap at its `position`, and so many tokens `remaining` behind it.

    Raises:
        CausalignError: the network is not frozen, two readings differ, states are NaN or infinite, the resumed run
            with nothing swapped is not the plain run (to 1e-4 of the largest logit, or at half precision to what that
            can tell apart), or a random swap leaves every output unchanged.
    """
    site.require_frozen()
    states = finite(site.read(tokens), site)
    if not torch.equal(states, site.read(tokens)):
        raise CausalignError(f"{site.name}: two readings of the same trials differ; is something still random in it?")
    order = np.argsort(-remaining, kind="stable")
    rows, positions, lengths = (
        torch.from_numpy(part).to(site.device) for part in (order, position[order], remaining[order])
    )
    tokens, states = tokens[rows], states[rows]
    rest = torch.stack([row.roll(-1 - int(at)) for row, at in zip(tokens, positions, strict=True)])
    continuation = Continuation.pack(rest, lengths)
    prepared, places = site.prepare(tokens, stepwise), Places(torch.arange(len(rows), device=site.device), positions)
    state = states if stepwise else states[places.trial, positions]
    resume = site.resume_steps if stepwise else site.resume
    with torch.no_grad():
        plain = site.network(tokens)[continuation.trial, positions[continuation.trial] + continuation.step]
        resumed = resume(prepared, places, state, continuation)
        spread = state.std() + state.abs().mean() + 1e-3
        noise = torch.randn(state.shape, generator=torch_stream(seed, "check"), dtype=state.dtype).to(state.device)
        swapped = resume(prepared, places, state + spread * noise, continuation)
    difference = float((plain - resumed).abs().max())
    if not difference <= max(TOLERANCE, 4 * torch.finfo(site.dtype).eps) * max(1.0, float(plain.abs().max())):
        raise CausalignError(
            f"{site.name}: resumed with nothing swapped, its logits differ from the plain run's by {difference:.2g}"
        )
    if torch.equal(swapped, resumed):
        raise CausalignError(f"{site.name}: swapping its state leaves every output unchanged")
