"""The GRU of the paper: one cell and a readout."""

from jaxtyping import Float, Int
from torch import Tensor, nn
from typing_extensions import override

from causalign.networks.base import Network
from causalign.networks.layers import readout
from causalign.tasks.base import Task
from causalign.tasks.vocabulary import Vocabulary


class GRU(Network):
    """A token embedding, one GRU cell of the same width, and a readout MLP (equations 1 and 2, A.1)."""

    architecture = "gru"

    def __init__(self, vocabulary: Vocabulary, task: Task, width: int) -> None:
        super().__init__(vocabulary, task, width)
        self.embedding = nn.Embedding(len(vocabulary), width)
        self.cell = nn.GRU(width, width, batch_first=True)
        self.readout = readout(width, len(vocabulary))

    @override
    def forward(self, tokens: Int[Tensor, "trials time"]) -> Float[Tensor, "trials time vocabulary"]:
        hidden, _ = self.cell(self.embedding(tokens))
        logits: Tensor = self.readout(hidden)
        return logits
