"""How maps are stepped down the loss: by PyTorch's Muon, or its Adam.

Muon makes every direction of a step equally long (its update is the nearest matrix with orthonormal columns), so that
what is only a little wrong gets better as fast as what is very wrong. That is of matrices; scales go by Adam.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from causalign.errors import lookup
from causalign.maps.base import TrainableMap

OPTIMIZERS = ("muon", "adam")


class Optimizers:
    """Those of some maps, each of which has its own.

    Args:
        maps: what is trained.
        name: `muon` or `adam`; by default, what suits the parametrisation of each map.
        learning_rate: of all of them; by default, what suits the parametrisation.

    Raises:
        CausalignError: a map is not for that optimiser.
    """

    def __init__(self, maps: Sequence[TrainableMap], name: str | None, learning_rate: float | None) -> None:
        self._all = [each for trained in maps for each in _of(trained, name, learning_rate)]

    def step(self, loss: Tensor) -> None:
        """One step down the loss."""
        for each in self._all:
            each.zero_grad()
        loss.backward()
        for each in self._all:
            each.step()


def _of(trained: TrainableMap, name: str | None, learning_rate: float | None) -> Iterator[torch.optim.Optimizer]:
    rates = trained.learning_rates
    name = next(iter(rates)) if name is None else name
    usual = lookup(f"optimiser of {trained.name}", name, rates)
    rate = usual if learning_rate is None else learning_rate
    matrices, others = list[nn.Parameter](), list[nn.Parameter]()
    for parameter in trained.parameters():
        (matrices if name == "muon" and parameter.ndim == 2 else others).append(parameter)
    if matrices:
        yield torch.optim.Muon(matrices, rate, weight_decay=0.0, adjust_lr_fn="match_rms_adamw")
    if others:
        yield torch.optim.Adam(others, rate)
