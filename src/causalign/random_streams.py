"""Random streams that are spawned from one seed by name.

A stream depends only on the seed and on its own name. Drawing from one stream does not change the others, and a stream
that is named by a step number can be entered again in the middle of a run. No global generator is used.
"""

from zlib import crc32

import numpy as np
import torch


def _sequence(seed: int, name: tuple[str | int, ...]) -> np.random.SeedSequence:
    # A 1 precedes the checksum of a word and a 0 precedes a number, so that no word can stand for a number.
    key = [k for part in name for k in ((0, part) if isinstance(part, int) else (1, crc32(part.encode())))]
    return np.random.SeedSequence(seed, spawn_key=key)


def numpy_stream(seed: int, *name: str | int) -> np.random.Generator:
    """Return the numpy generator of the stream `name` under `seed`."""
    return np.random.default_rng(_sequence(seed, name))


def torch_stream(seed: int, *name: str | int) -> torch.Generator:
    """Return the torch (CPU) generator of the stream `name` under `seed`."""
    return torch.Generator().manual_seed(int(_sequence(seed, name).generate_state(1, np.uint64)[0]) >> 1)
