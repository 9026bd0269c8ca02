"""The time before the first step: reading states and drawing rows."""

from collections.abc import Iterator

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from causalign.benchmarks import network_pair as _pair
from causalign.benchmarks.measurement import in_turn
from causalign.benchmarks.row import Row
from causalign.engine.activation_cache import MAX_TRIALS
from causalign.networks.base import Network

_COUNT = 10_000
_CHUNK = 1000


def preparation(quick: bool) -> Iterator[Row]:
    """Yield the seconds to prepare 10,000 rows of each of 4 directions.

    The reference runs the source and the target network of each row once.
    """
    networks, sites = _pair.networks(), _pair.sites()
    tokens = torch.from_numpy(networks[0].task.trials(_COUNT, np.random.default_rng(0)).tokens)
    work = {
        "ours": lambda: _pair.interventions(sites, _COUNT),
        "theirs": lambda: [_run(networks[end], tokens) for direction in _pair.DIRECTIONS for end in direction],
    }
    taken = in_turn(work, 2 if quick else 7)
    yield Row(
        benchmark="preparation",
        case=f"{_COUNT:,} interventions x {len(_pair.DIRECTIONS)} directions",
        ours=taken["ours"],
        unit="s",
        rival="running source and target of each once",
        theirs=taken["theirs"],
        ratio=taken["theirs"] / taken["ours"],
        reads="times",
        note=f"ours reads {MAX_TRIALS:,} trials a network, at whose positions all interventions are",
    )


@torch.no_grad()
def _run(network: Network, tokens: Int[Tensor, "trials time"]) -> None:
    for chunk in tokens.split(_CHUNK):
        network(chunk)
