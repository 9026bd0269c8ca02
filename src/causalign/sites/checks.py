"""Checks of a site: they run before a search."""

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
_TIME = 7  # tokens of an input where there is no task; few enough for any network


@dataclass(frozen=True, eq=False)
class CheckBatch:
    """A few trials, each with a place where a swap may happen, sorted by the number of tokens behind it."""

    tokens: Int[Tensor, "trials time"]
    """The network's ids of each trial."""
    places: Places
    """The place of each trial's swap."""
    continuation: Continuation
    """The tokens behind each place."""
    states: Float[Tensor, "trials time width"]
    """The states at every position."""

    @classmethod
    def drawn(cls, site: Site, seed: int) -> "CheckBatch":
        """Draw a few trials with a random place in each, from a random stream of their own.

        Raises:
            InvalidArgument: No trial has a place where a swap may happen, two reads differ, or states are NaN or
                infinite.
        """
        rng = numpy_stream(seed, "check")
        if isinstance(site.task, NoTask):
            position = rng.integers(_TIME - 1, size=_TRIALS)
            return cls.of(site, sample_inputs(site, seed), position, _TIME - 1 - position)
        trials = site.task.trials(_TRIALS, rng)
        trial, position = rng.permutation(np.argwhere(site.task.swappable(trials.tokens))).T
        chosen, first = np.unique(trial, return_index=True)
        if len(chosen) == 0:
            raise InvalidArgument(
                f"{site.task.name} writes none of the tokens {site.task.swap_at} that a swap may follow"
            )
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
        """Make a batch of these trials.

        Args:
            site: The site.
            tokens: The network's ids of each trial.
            position: The position of each trial's swap.
            remaining: The number of tokens behind each position.

        Raises:
            InvalidArgument: Two reads of the same trials differ, or states are NaN or infinite.
        """
        states = finite(site.read(tokens), site)
        if not torch.equal(states, site.read(tokens)):
            raise InvalidArgument(f"{site.name}: two reads of the same trials differ; is something still random in it?")
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
        """The states that the swaps replace."""
        return self.states[self.places.trial, self.places.position]


def sample_inputs(site: Site, seed: int) -> Int[Tensor, "trials time"]:
    """Draw a few inputs of a site: trials of its task or, without a task, random ids."""
    rng = numpy_stream(seed, "check")
    if isinstance(site.task, NoTask):
        return torch.from_numpy(rng.integers(site.network.inputs, size=(_TRIALS, _TIME))).to(site.device)
    return site.encode(site.task.trials(_TRIALS, rng).tokens)


def perturb(states: Float[Tensor, "*trials width"], seed: int) -> Float[Tensor, "*trials width"]:
    """Return random states, about as far from these as these are from each other.

    Gaussian noise is added, with the sum of the standard deviation and the mean magnitude of the states as its scale.
    """
    spread = states.std() + states.abs().mean() + 1e-3
    noise = torch.randn(states.shape, generator=torch_stream(seed, "check"), dtype=states.dtype)
    return states + spread * noise.to(states.device)


def check(site: Site, seed: int = 0, stepwise: bool = False) -> None:
    """Check a site on a few trials of its task or, without a task, on random ids.

    Check that the site is deterministic, that resuming from its own states reproduces the logits, that swapping its
    states changes the output, and that a gradient reaches them.

    Args:
        site: The site.
        seed: The seed of the trials, the places and the random swap.
        stepwise: Whether the states of all positions up to the place are swapped, instead of one.

    Raises:
        InvalidArgument: The network is not frozen; two reads differ; states are NaN or infinite, or depend on the other
            rows of a batch; the logits of the resumed run with nothing swapped differ from the plain run's by more than
            the site's tolerance; a random swap leaves every output unchanged, or no gradient reaches the swapped
            states; or the task writes no token after which a swap may happen.
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
    """Check a site as `check` does, on these tokens.

    Args:
        site: The site.
        tokens: The network's ids of each trial.
        position: The position of each trial's swap.
        remaining: The number of tokens behind each position.
        seed: The seed of the random swap.
        stepwise: Whether the states of all positions up to the place are swapped, instead of one.

    Raises:
        InvalidArgument: The site fails a check, as for `check`.
    """
    site.require_frozen()
    _check(site, CheckBatch.of(site, tokens, position, remaining), seed, stepwise)


def _require_row_independence(site: Site, few: CheckBatch) -> None:
    """Check that the states of the shortest input are the same alone and beside the longest.

    Raises:
        InvalidArgument: They differ. Dynamic rotary positions, for example, rotate all inputs of a batch according to
            the longest.
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
        reason = f"; {site.without_effect}" if site.without_effect else ""
        raise InvalidArgument(f"{site.name}: swapping its state leaves every output unchanged{reason}")
    if not swapped.requires_grad or not is_learnable(swapped, swapped_in):
        raise InvalidArgument(f"{site.name}: no gradient reaches its state, so no map could be learned")


def is_learnable(logits: Float[Tensor, "tokens vocabulary"], state: Float[Tensor, "trials ... width"]) -> bool:
    """Whether a finite gradient of the logits reaches the state, and is not 0 everywhere."""
    with torch.enable_grad():
        (gradient,) = torch.autograd.grad(logits.float().square().sum(), state, allow_unused=True)
    return gradient is not None and bool(torch.isfinite(gradient).all()) and bool(gradient.any())
