"""The optimizers of alignment maps: PyTorch's Muon and Adam.

Muon replaces the update of a matrix by the nearest matrix with orthonormal columns. All directions of a step are then
equally long, so that small errors shrink as fast as large ones. Muon is for matrices; scales are trained by Adam.
"""

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn

from causalign.errors import lookup
from causalign.maps.base import TrainableMap, gates_of

OPTIMIZERS = ("muon", "adam")
"""The names of the optimizers."""


class Optimizers:
    """The optimizers of some maps, each of which has its own.

    Gates are trained by Adam, at a learning rate of their own.

    Args:
        maps: The maps to train.
        name: `muon` or `adam`. By default, the optimizer that suits the parametrization of each map.
        learning_rate: The learning rate of all optimizers. By default, the one that suits the parametrization.

    Raises:
        InvalidArgument: The optimizer does not train the parametrization of a map.
    """

    def __init__(self, maps: Sequence[TrainableMap], name: str | None, learning_rate: float | None) -> None:
        self._all = [each for trained in maps for part in trained.parts for each in _of(part, name, learning_rate)]
        self._all += [torch.optim.Adam(gate.parameters(), gate.learning_rate) for gate in gates_of(maps)]

    def step(self, loss: Tensor) -> None:
        """Take one gradient step on the loss."""
        for each in self._all:
            each.zero_grad()
        loss.backward()
        for each in self._all:
            each.step()

    def tensors(self) -> dict[str, Tensor]:
        """Return the state: the tensors that each optimizer keeps of each parameter."""
        return {
            f"{index}.{parameter}.{name}": tensor
            for index, each in enumerate(self._all)
            for parameter, kept in each.state_dict()["state"].items()
            for name, tensor in kept.items()
        }

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Go back to a state of the same optimizers."""
        states: list[dict[int, dict[str, Tensor]]] = [{} for _ in self._all]
        for key, tensor in tensors.items():
            index, parameter, name = key.split(".")
            states[int(index)].setdefault(int(parameter), {})[name] = tensor
        for each, state in zip(self._all, states, strict=True):
            each.load_state_dict(each.state_dict() | {"state": state})


def _of(trained: TrainableMap, name: str | None, learning_rate: float | None) -> Iterator[torch.optim.Optimizer]:
    rates = trained.learning_rates
    name = next(iter(rates)) if name is None else name
    usual = lookup(f"optimizer of {trained.name}", name, rates)
    rate = usual if learning_rate is None else learning_rate
    matrices, others = list[nn.Parameter](), list[nn.Parameter]()
    gated = set() if trained.gate is None else set(trained.gate.parameters())
    for parameter in trained.parameters():
        if parameter in gated:
            continue
        (matrices if name == "muon" and parameter.ndim == 2 else others).append(parameter)
    if matrices:
        yield torch.optim.Muon(matrices, rate, weight_decay=0.0, adjust_lr_fn="match_rms_adamw")
    if others:
        yield torch.optim.Adam(others, rate)
