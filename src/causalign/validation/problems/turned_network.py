"""Networks that behave exactly as a given GRU, and hold its state in other coordinates.

A GRU's gates act on single units, so that only a permutation of the units, or further units that do nothing, can be
absorbed by its weights. Any other rotation is put around the cell:

    g_t = s Q h_t = s Q step(x_t, Q^T g_(t-1) / s)
"""

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from typing_extensions import override

from causalign.networks.gru import GRU
from causalign.networks.site_registry import register_site
from causalign.sites.base import Continuation, Places, Site
from causalign.sites.prefix import Prefix
from causalign.sites.recurrent.sites import HiddenState
from causalign.tasks.base import Task
from causalign.tasks.vocabulary import Vocabulary

Placement = Float[np.ndarray, "wide width"]
"""The matrix that places a state in other coordinates: orthonormal columns, times a scale."""


class TurnedGRU(GRU):
    """A GRU whose state is turned and scaled between any two steps. Its site is `hidden`, the turned state."""

    architecture = "turned-gru"

    def __init__(self, vocabulary: Vocabulary, task: Task, width: int) -> None:
        super().__init__(vocabulary, task, width)
        self.turn, self.back = nn.Linear(width, width, bias=False), nn.Linear(width, width, bias=False)

    @override
    def forward(self, tokens: Int[Tensor, "trials time"]) -> Float[Tensor, "trials time vocabulary"]:
        """Return the logits of the next token at every position."""
        logits: Tensor = self.readout(self.back(self.turned_states(tokens)))
        return logits

    def turned_states(self, tokens: Int[Tensor, "trials time"]) -> Float[Tensor, "trials time width"]:
        """Return the turned state after every token. The cell runs one step at a time."""
        state, states = self.turn.weight.new_zeros(len(tokens), self.width), []
        for embedded in self.embedding(tokens).split(1, dim=1):
            _, after = self.cell(embedded, self.back(state)[None])
            state = self.turn(after[0])
            states.append(state)
        return torch.stack(states, dim=1)


class TurnedState(Site):
    """The turned state. After a swap it is turned back once, and the cell runs on in its own coordinates."""

    network: TurnedGRU
    shares_prefix = True

    def __init__(self, network: TurnedGRU, task: Task) -> None:
        self._bind(network, "hidden", task, network.width)
        self._plain = HiddenState(network, task)

    @override
    @torch.no_grad()
    def read(self, tokens: Int[Tensor, "trials time"]) -> Float[Tensor, "trials time width"]:
        return self.network.turned_states(tokens)

    @override
    def prefix(self, tokens: Int[Tensor, "trials time"], stepwise: bool = False) -> Prefix:
        return Prefix.empty()

    @override
    def run_from(
        self, prefix: Prefix, places: Places, state: Float[Tensor, "trials width"], continuation: Continuation
    ) -> Float[Tensor, "tokens hidden"]:
        return self._plain.run_from(prefix, places, self.network.back(state), continuation)

    @override
    def read_out(self, features: Float[Tensor, "tokens hidden"]) -> Float[Tensor, "tokens vocabulary"]:
        return self._plain.read_out(features)


register_site(TurnedGRU, lambda _: {"hidden": TurnedState})


def turned(network: GRU, placement: Placement, name: str) -> TurnedGRU:
    """Return the network with its state h turned to `placement @ h`.

    Args:
        network: The network.
        placement: A rotation times a scale, `[width, width]`.
        name: The name of the new network.
    """
    found = TurnedGRU(network.vocabulary, network.task, network.width)
    found.load_state_dict(network.state_dict(), strict=False)
    scale_squared = (placement**2).sum() / network.width
    with torch.no_grad():
        found.turn.weight.copy_(torch.from_numpy(placement))
        found.back.weight.copy_(torch.from_numpy(placement.T / scale_squared))
    found.name = name
    found.freeze()
    return found


def rearranged(network: GRU, placement: Placement, name: str) -> GRU:
    """Return a GRU whose units are those of another one in other places, beside dead units.

    Args:
        network: The network.
        placement: A matrix of zeros and ones, `[wide, width]`, with a single one in each column. A unit of a row
            without a one is dead: its weights are 0.
        name: The name of the new network.
    """
    wide, width = placement.shape
    place = torch.from_numpy(placement).float()
    gates = torch.block_diag(place, place, place)
    hidden = torch.eye(4 * wide, 4 * width)  # the units of the readout's hidden layer keep their places
    old = network.state_dict()
    found = GRU(network.vocabulary, network.task, wide)
    placed = {
        "embedding.weight": torch.nn.functional.pad(old["embedding.weight"], (0, wide - width)),
        "cell.weight_ih_l0": torch.nn.functional.pad(gates @ old["cell.weight_ih_l0"], (0, wide - width)),
        "cell.weight_hh_l0": gates @ old["cell.weight_hh_l0"] @ place.mT,
        "cell.bias_ih_l0": gates @ old["cell.bias_ih_l0"],
        "cell.bias_hh_l0": gates @ old["cell.bias_hh_l0"],
        "readout.0.weight": hidden @ old["readout.0.weight"] @ place.mT,
        "readout.0.bias": hidden @ old["readout.0.bias"],
        "readout.3.weight": old["readout.3.weight"] @ hidden.mT,
        "readout.3.bias": old["readout.3.bias"],
    }
    found.load_state_dict(placed)
    found.name = name
    found.freeze()
    return found
