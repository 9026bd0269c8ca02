"""Splits of recorded trials into train, validation and test trials, which share no trial."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int

from causalign.errors import InvalidArgument, unknown
from causalign.random_streams import numpy_stream

SPLITS = ("train", "validation", "test")
_SHARES = (0.6, 0.2, 0.2)

Splits = dict[str, Int[np.ndarray, " _"]]
"""The trials of each split."""


def drawn(trials: Int[np.ndarray, " _"], seed: int) -> Splits:
    """Split these trials at random: 60 % train, 20 % validation and 20 % test trials.

    Raises:
        InvalidArgument: There are fewer than three trials.
    """
    if len(trials) < len(SPLITS):
        raise InvalidArgument(f"{len(trials)} trials cannot be split into {', '.join(SPLITS)}; at least 3 are needed")
    order = numpy_stream(seed, "recording", "split").permutation(trials)
    ends = np.maximum(np.round(np.cumsum(_SHARES) * len(trials)).astype(int), 1)
    ends[1] = min(max(ends[1], ends[0] + 1), len(trials) - 1)
    ends[0] = min(ends[0], ends[1] - 1)
    return dict(zip(SPLITS, np.split(order, ends[:2]), strict=True))


def assigned(names: Sequence[str], trials: Int[np.ndarray, " _"]) -> Splits:
    """Return the splits that a user has assigned.

    Args:
        names: The split of each trial of the recording.
        trials: The trials that are used.

    Raises:
        InvalidArgument: A name is not a split, or a split has none of the trials.
    """
    for name in names:
        if name not in SPLITS:
            raise unknown("split", str(name), SPLITS)
    of = np.array(names)[trials]
    splits = {name: trials[of == name] for name in SPLITS}
    for name, chosen in splits.items():
        if not len(chosen):
            raise InvalidArgument(f"no usable trial is assigned to the split {name!r}")
    return splits
