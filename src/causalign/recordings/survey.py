"""One pass over all states: which samples are present, which units fire, and the moments for preprocessing."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from causalign.errors import InvalidArgument
from causalign.recordings.moments import Moments
from causalign.recordings.states import States

Transform = Callable[[Float[np.ndarray, "samples units"]], Float[np.ndarray, "samples width"]]
"""The function of the activity whose moments are needed."""


@dataclass(frozen=True, eq=False)
class Survey:
    """The results of a pass over a recording."""

    present: Bool[np.ndarray, " samples"]
    """Whether every unit has a value at a sample."""
    fired: Bool[np.ndarray, " units"]
    """Whether a unit is ever nonzero."""
    heard: Int[np.ndarray, " units"]
    """The number of samples at which a unit has a value."""
    moments: Moments
    """The moments of the transformed training samples."""
    fingerprint: str
    """A hash of the states."""


def survey(
    states: States,
    training: Bool[np.ndarray, " trials"],
    *,
    transform: Transform,
    covariance: bool,
    negative: bool = True,
) -> Survey:
    """Read all states once, chunk by chunk.

    Args:
        states: The states of all trials.
        training: Whether a trial is a train trial.
        transform: The function of the activity whose moments are needed, such as the square root.
        covariance: Whether the covariance is needed, and not only the variance of each unit.
        negative: Whether states may be negative.

    Raises:
        InvalidArgument: Some states are infinite, or negative where they may not be. The message names the trial.
    """
    layout = states.layout
    present, fired = np.zeros(layout.total, bool), np.zeros(len(states.units), bool)
    heard, moments, digest = np.zeros(len(states.units), np.int64), Moments(covariance), hashlib.sha256()
    for trials in states.chunks():
        read = states.read(trials)
        _refuse(np.isinf(read), trials, "infinite states")
        if not negative:
            _refuse(read < 0, trials, "negative states, which have no square root")
        of_chunk = layout.of(trials)
        samples = read[of_chunk.trial, of_chunk.position]
        absent = np.isnan(samples)
        there = ~absent.any(axis=1)
        present[layout.places(trials)] = there
        heard += (~absent).sum(axis=0)
        fired |= samples[there].any(axis=0)
        digest.update(read.tobytes())
        learnt = samples[there & training[trials][of_chunk.trial]]
        if len(learnt):
            moments.add(transform(learnt))
    return Survey(present, fired, heard, moments, digest.hexdigest()[:16])


def _refuse(wrong: Bool[np.ndarray, "chosen time units"], trials: Int[np.ndarray, " chosen"], what: str) -> None:
    if wrong.any():
        raise InvalidArgument(f"trial {trials[int(np.argwhere(wrong)[0, 0])]} of the recording has {what}")
