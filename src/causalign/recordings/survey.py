"""One pass over all states: which samples are present, which units fire, and the moments for preprocessing."""

import hashlib
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int

from causalign.errors import InvalidArgument
from causalign.recordings.preprocessing import Moments, Preprocess
from causalign.recordings.states import States


@dataclass(frozen=True, eq=False)
class Survey:
    """The results of a pass over a recording."""

    present: Bool[np.ndarray, "trials time"]
    """Whether every unit has a value at a sample."""
    fired: Bool[np.ndarray, " units"]
    """Whether a unit is ever nonzero."""
    moments: Moments | None
    """The moments of the training samples (of their square roots, if `sqrt` is set). `None` if no step needs them."""
    fingerprint: str
    """A hash of the states."""


def survey(states: States, training: Bool[np.ndarray, " trials"], asked: Preprocess) -> Survey:
    """Read all states once, chunk by chunk.

    Args:
        states: The states of all trials.
        training: Whether a trial is a train trial.
        asked: The steps of preprocessing.

    Raises:
        InvalidArgument: Some states are infinite, or negative if `sqrt` is set. The message names the trial.
    """
    present, fired = np.zeros((states.trials, states.time), bool), np.zeros(len(states.units), bool)
    moments = Moments(len(states.units), asked.pca is not None) if asked.fitted else None
    digest = hashlib.sha256()
    for trials in states.chunks():
        read = states.read(trials)
        _refuse(np.isinf(read), trials, "infinite states")
        there = ~np.isnan(read).any(axis=2)
        samples = read[there]
        if asked.sqrt:
            _refuse(read < 0, trials, "negative states, which have no square root")
        present[trials] = there
        fired |= samples.any(axis=0)
        digest.update(read.tobytes())
        if moments is not None:
            learnt = read[there & training[trials][:, None]].astype(np.float64)
            moments.add(np.sqrt(learnt) if asked.sqrt else learnt)
    return Survey(present, fired, moments, digest.hexdigest()[:16])


def _refuse(wrong: Bool[np.ndarray, "chosen time units"], trials: Int[np.ndarray, " chosen"], what: str) -> None:
    if wrong.any():
        raise InvalidArgument(f"trial {trials[int(np.argwhere(wrong)[0, 0])]} of the recording has {what}")
