"""What a site has to show before it is trusted with a search."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from causalign.errors import InvalidArgument
from causalign.random_streams import numpy_stream, torch_stream
from causalign.sites.base import Continuation, Places, Site
from causalign.sites.readable import finite
from causalign.tasks.no_task import NoTask

_TRIALS = 16
_TIME = 7  # tokens of an input that no task writes: any network can read so few


@dataclass(frozen=True, eq=False)
class CheckBatch:
    """A few trials, and a place in each where a swap may happen, the longest continuation first."""

    tokens: Int[Tensor, "trials time"]
    places: Places
    continuation: Continuation
    states: Float[Tensor, "trials time width"]

    @classmethod
    def drawn(cls, site: Site, seed: int) -> "CheckBatch":
        """From a stream of their own, each with a random place.

        Raises:
            InvalidArgument: as `of`; or no trial has such a place.
        """
        rng = numpy_stream(seed, "check")
        if isinstance(site.task, NoTask):
            position = rng.integers(_TIME - 1, size=_TRIALS)
            return cls.of(site, sample_inputs(site, seed), position, _TIME - 1 - position)
        trials = site.task.trials(_TRIALS, rng)
        trial, position = rng.permutation(np.argwhere(site.task.swappable(trials.tokens))).T
        chosen, first = np.unique(trial, return_index=True)
        if len(chosen) == 0:
            raise InvalidArgument(f"{site.task.name} writes none of the tokens {site.task.swap_at} that a swap follows")
        remaining = trials.lengths[chosen] - position[first] - 1
        return cls.of(site, site.encode(trials.tokens[chosen]), position[first], remaining)

    @classmethod
    def of(
        cls,
        site: Site,
        tokens: Int[Tensor, "trials time"],
        position: Int[np.ndarray, " trials"],
        remaining: Int[np.ndarray, " trials"],
    ) -> "CheckBatch":
        """Given ones, each with its place and so many tokens behind it.

        Raises:
            InvalidArgument: two readings differ, or states are NaN or infinite.
        """
        states = finite(site.read(tokens), site)
        if not torch.equal(states, site.read(tokens)):
            raise InvalidArgument(
                f"{site.name}: two readings of the same trials differ; is something still random in it?"
            )
        order = np.argsort(-remaining, kind="stable")
        rows, positions, lengths = (
            torch.from_numpy(part).to(site.device) for part in (order, position[order], remaining[order])
        )
        tokens = tokens[rows]
        rest = torch.stack([row.roll(-1 - int(at)) for row, at in zip(tokens, positions, strict=True)])
        places = Places(torch.arange(len(rows), device=site.device), positions)
        return cls(tokens, places, Continuation.pack(rest, lengths), states[rows])

    @property
    def at_places(self) -> Float[Tensor, "trials width"]:
        """The states that a swap replaces."""
        return self.states[self.places.trial, self.places.position]


def sample_inputs(site: Site, seed: int) -> Int[Tensor, "trials time"]:
    """Draw a few inputs for a site: trials of its task or, without a task, random ids."""
    rng = numpy_stream(seed, "check")
    if isinstance(site.task, NoTask):
        return torch.from_numpy(rng.integers(site.network.inputs, size=(_TRIALS, _TIME))).to(site.device)
    return site.encode(site.task.trials(_TRIALS, rng).tokens)


def perturb(states: Float[Tensor, "*trials width"], seed: int) -> Float[Tensor, "*trials width"]:
    """Random states, about as far from these as they are from each other."""
    spread = states.std() + states.abs().mean() + 1e-3
    noise = torch.randn(states.shape, generator=torch_stream(seed, "check"), dtype=states.dtype)
    return states + spread * noise.to(states.device)


def check(site: Site, seed: int = 0, stepwise: bool = False) -> None:
    """Run a site on a few trials of its task: does it repeat itself, resume to what the network says, heed a swap?

    With `stepwise`, the states of all positions up to the place are swapped instead of one.

    Raises:
        InvalidArgument: the network is not frozen, two readings differ, states are NaN or infinite, the resumed run
            with nothing swapped is not the plain run (to the site's tolerance), or a random swap leaves every output
            unchanged or has no gradient; or the task writes nothing that a swap may follow.
    """
    site.require_frozen()
    _check(site, CheckBatch.drawn(site, seed), seed, stepwise)


def check_rows(
    site: Site,
    tokens: Int[Tensor, "trials time"],
    position: Int[np.ndarray, " trials"],
    remaining: Int[np.ndarray, " trials"],
    *,
    seed: int = 0,
    stepwise: bool = False,
) -> None:
    """The same on given tokens, with a swap at each trial's `position` and so many tokens `remaining` behind it.

    Raises:
        InvalidArgument: as `check`.
    """
    site.require_frozen()
    _check(site, CheckBatch.of(site, tokens, position, remaining), seed, stepwise)


def _require_row_independence(site: Site, few: CheckBatch) -> None:
    """Check that the states of the shortest input are the same alone and beside the longest.

    Raises:
        InvalidArgument: They differ: dynamic rotary positions, for one, turn all inputs of a batch by the longest.
    """
    lengths = few.places.position + 1
    lengths = lengths + few.continuation.trial.bincount(minlength=len(lengths))
    shortest, longest = int(lengths.argmin()), int(lengths.max())
    time = int(lengths[shortest])
    beside, alone = few.states[shortest, :time], site.read(few.tokens[shortest, :time][None])[0]
    difference, most = float((beside - alone).abs().max()), site.absolute_tolerance(alone)
    if not difference <= most:
        raise InvalidArgument(
            f"{site.name}: the states of an input of {time} tokens change by {difference:.2g} with the longest row "
            f"beside it, of {longest} tokens; at most {most:.2g} is tolerated (do its positions depend on the length?)"
        )


def _check(site: Site, few: CheckBatch, seed: int, stepwise: bool) -> None:
    _require_row_independence(site, few)
    prefix, places, continuation = site.prefix(few.tokens, stepwise), few.places, few.continuation
    state = few.states if stepwise else few.at_places
    resume = site.resume_steps if stepwise else site.resume
    with torch.no_grad():
        plain = site.network(few.tokens)[continuation.trial, places.position[continuation.trial] + continuation.step]
        resumed = resume(prefix, places, state, continuation)
    difference, most = float((plain - resumed).abs().max()), site.absolute_tolerance(plain)
    if not difference <= most:
        raise InvalidArgument(
            f"{site.name}: resumed with nothing swapped, its logits differ from the plain run's by {difference:.2g}; "
            f"at most {most:.2g} is tolerated"
        )
    with torch.enable_grad():
        swapped_in = perturb(state, seed).requires_grad_()
        swapped = resume(prefix, places, swapped_in, continuation)
    if torch.equal(swapped.detach(), resumed):
        raise InvalidArgument(f"{site.name}: swapping its state leaves every output unchanged")
    if not swapped.requires_grad or not _learns(swapped, swapped_in):
        raise InvalidArgument(f"{site.name}: no gradient comes back to its state, so that no map could be learnt")


def _learns(logits: Float[Tensor, "tokens vocabulary"], state: Float[Tensor, "trials ... width"]) -> bool:
    with torch.enable_grad():
        (gradient,) = torch.autograd.grad(logits.float().square().sum(), state, allow_unused=True)
    return gradient is not None and bool(torch.isfinite(gradient).all()) and bool(gradient.any())
