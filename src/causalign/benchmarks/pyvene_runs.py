"""Distributed alignment search with the public API of pyvene, written as in its tutorials."""

from typing import Any

import pyvene
import torch
from jaxtyping import Float, Int
from pyvene.models.gru.modelings_gru import GRUConfig, GRULMHeadModel
from torch import Tensor, nn
from torch.nn import functional
from typing_extensions import override


class PyveneDAS:
    """DAS at one place of a frozen model. The loss is over the tokens that follow the swap.

    Args:
        model: The model. It is changed: pyvene removes its hooks.
        where: The layer and the component that are swapped, by pyvene's names.
        position: The position that is swapped. The loss begins after it.
        width: Width of the states.
        rank: Number of dimensions of the subspace.
        whole: Whether the whole output of the component is swapped, so that it has no position.
        rate: Learning rate of Adam.
    """

    def __init__(
        self,
        model: nn.Module,
        where: dict[str, Any],
        position: int,
        *,
        width: int,
        rank: int,
        whole: bool = False,
        rate: float = 1e-3,
    ) -> None:
        self._position, self._whole = position, whole
        self._intervention = pyvene.LowRankRotatedSpaceIntervention(embed_dim=width, low_rank_dimension=rank)
        place = {"unit": "pos", "intervention": self._intervention, **where}
        self._model = pyvene.IntervenableModel(pyvene.IntervenableConfig([place]), model)
        self._model.disable_model_gradients()
        self._optimiser = torch.optim.Adam(self._intervention.rotate_layer.parameters(), lr=rate)

    def set_frame(self, frame: Float[Tensor, "width rank"]) -> None:
        """Set the columns of the rotation."""
        self._intervention.rotate_layer.weight = frame

    def logits(
        self, base: Int[Tensor, "trials time"], source: Int[Tensor, "trials time"]
    ) -> Float[Tensor, "trials time vocabulary"]:
        """Return the logits on `base` when its subspace takes the contents of that of `source`."""
        places = None if self._whole else {"sources->base": self._position}
        _, outputs = self._model({"input_ids": base}, [{"input_ids": source}], places)
        return outputs[0]

    def step(self, base: Int[Tensor, "trials time"], source: Int[Tensor, "trials time"]) -> float:
        """Take a step of Adam, and return the loss before it."""
        after = base[:, self._position + 1 :]
        logits = self.logits(base, source)[:, self._position : -1]
        loss = functional.cross_entropy(logits.flatten(0, 1), after.flatten())
        self._optimiser.zero_grad()
        loss.backward()
        self._optimiser.step()
        return float(loss.detach())


class TappedGRU(GRULMHeadModel):  # type: ignore[misc]
    """pyvene's GRU with an identity module at every step, where pyvene's hooks can swap the state.

    pyvene's own unit for steps, `"t"`, takes single trials only and swaps zeros into all other steps (version 0.1.8).
    """

    def __init__(self, width: int, vocabulary: int, time: int) -> None:
        super().__init__(GRUConfig(include_emb=True, vocab_size=vocabulary, h_dim=width, n_layer=1))
        self.taps = nn.ModuleList(nn.Identity() for _ in range(time))

    @override
    def forward(self, input_ids: Int[Tensor, "trials time"]) -> tuple[Float[Tensor, "trials time vocabulary"]]:
        embedded, cell = self.gru.wte(input_ids), self.gru.cells[0]
        state = embedded.new_zeros(len(embedded), self.gru.h_dim)
        states = []
        for tap, here in zip(self.taps, embedded.unbind(1), strict=False):
            state = tap(cell(here, state))
            states.append(state)
        return (self.lm_head(torch.stack(states, dim=1)),)
