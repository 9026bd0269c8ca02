"""Which recorded trials are trained on, which choose the step, and which are tested on: never the same."""

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
    """Of these trials, 60 % to train, 20 % to choose the step, and 20 % to test, at random.

    Raises:
        InvalidArgument: they are too few.
    """
    if len(trials) < len(SPLITS):
        raise InvalidArgument(f"{len(trials)} trials cannot be split into those for {', '.join(SPLITS)}")
    order = numpy_stream(seed, "recording", "split").permutation(trials)
    ends = np.maximum(np.round(np.cumsum(_SHARES) * len(trials)).astype(int), 1)
    ends[1] = min(max(ends[1], ends[0] + 1), len(trials) - 1)
    ends[0] = min(ends[0], ends[1] - 1)
    return dict(zip(SPLITS, np.split(order, ends[:2]), strict=True))


def given(names: Sequence[str], trials: Int[np.ndarray, " _"]) -> Splits:
    """The split that each trial of the recording is said to be of; only `trials` are used.

    Raises:
        InvalidArgument: a name is no split, or a split has none of the trials.
    """
    for name in names:
        if name not in SPLITS:
            raise unknown("split", str(name), SPLITS)
    of = np.array(names)[trials]
    splits = {name: trials[of == name] for name in SPLITS}
    for name, chosen in splits.items():
        if not len(chosen):
            raise InvalidArgument(f"no usable trial is said to be of the split {name!r}")
    return splits
