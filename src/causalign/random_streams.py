"""Random streams that are spawned from one seed by name.

A stream depends on the seed and on its own name only: drawing more from one leaves the others as they were,
and a stream named by a step number can be entered again in the middle of a run. No global generator is used.
"""

from zlib import crc32

import numpy as np
import torch


def _sequence(seed: int, name: tuple[str | int, ...]) -> np.random.SeedSequence:
    # A word's checksum follows a 1 and a number a 0, so that no word can stand for a number.
    key = [k for part in name for k in ((0, part) if isinstance(part, int) else (1, crc32(part.encode())))]
    return np.random.SeedSequence(seed, spawn_key=key)


def numpy_stream(seed: int, *name: str | int) -> np.random.Generator:
    """The numpy generator of the stream `name` under `seed`."""
    return np.random.default_rng(_sequence(seed, name))


def torch_stream(seed: int, *name: str | int) -> torch.Generator:
    """The torch (CPU) generator of the stream `name` under `seed`."""
    return torch.Generator().manual_seed(int(_sequence(seed, name).generate_state(1, np.uint64)[0]) >> 1)
