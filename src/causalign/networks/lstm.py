"""The LSTM of the paper: one cell and a readout."""

from jaxtyping import Float, Int
from torch import Tensor, nn
from typing_extensions import override

from causalign.errors import InvalidArgument
from causalign.networks.base import Network
from causalign.networks.layers import readout
from causalign.tasks.base import Task
from causalign.tasks.vocabulary import Vocabulary


class LSTM(Network):
    """A token embedding, one LSTM cell, and a readout MLP of its hidden vector (equations 1 and 2, A.1).

    Args:
        vocabulary: The tokens that the network knows, in the order of their ids.
        task: The task whose trials its sites read.
        width: The width of the state `[h ; c]`. The hidden vector h, the cell c and the embedding have half of it each:
            64 of 128.

    Raises:
        InvalidArgument: The width is odd.
    """

    architecture = "lstm"

    def __init__(self, vocabulary: Vocabulary, task: Task, width: int) -> None:
        super().__init__(vocabulary, task, width)
        if width % 2:
            raise InvalidArgument(f"the width of an lstm, of h and c together, must be an even number; found {width}")
        self.embedding = nn.Embedding(len(vocabulary), width // 2)
        self.cell = nn.LSTM(width // 2, width // 2, batch_first=True)
        self.readout = readout(width // 2, len(vocabulary))

    @override
    def forward(self, tokens: Int[Tensor, "trials time"]) -> Float[Tensor, "trials time vocabulary"]:
        hidden, _ = self.cell(self.embedding(tokens))
        logits: Tensor = self.readout(hidden)
        return logits
