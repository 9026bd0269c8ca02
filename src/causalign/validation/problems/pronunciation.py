"""The network of g2p-en, from the letters of a word to its phonemes, as a torch module.

An encoder reads the letters and hands its last state, the code of the word, to a decoder that writes the phonemes. Both
are GRUs of 256 units. The weights are read from the file in the installed package, which is not imported.

Park and Kim (2019), g2pE: a simple Python module for English grapheme to phoneme conversion.
"""

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from causalign.errors import FileFormatError, MissingDependency

CHECKPOINT = "checkpoint20.npz"
SPECIAL_LETTERS, UNKNOWN_LETTER, END_OF_WORD = 3, 1, 2
"""Ids 0 to 2 are no letters; `a` has the id 3."""
BEGIN, END = 2, 3
"""The ids of the phonemes before the first and after the last."""
MOST_PHONEMES = 20


def weights() -> dict[str, Float[Tensor, "..."]]:
    """Return the weights by their names in g2p-en's file.

    Raises:
        MissingDependency: g2p-en is not installed.
        FileFormatError: The package has no such file.
    """
    package = find_spec("g2p_en")
    if package is None or package.origin is None:
        raise MissingDependency("the problems of pronunciation need the weights of g2p-en: pip install g2p-en")
    file = Path(package.origin).parent / CHECKPOINT
    if not file.exists():
        raise FileFormatError(f"{file} is missing: install another version of g2p-en, such as 2.1.0")
    with np.load(file) as found:
        return {name: torch.from_numpy(found[name].astype(np.float32)) for name in found.files}


class Pronunciation(nn.Module):
    """The network, from letters and the phonemes so far to the logits of the next phonemes.

    The code of a word is the output of `code`, `[rows, width]`.

    Args:
        frame: The directions of the encoder's state in the code, as orthonormal columns. By default each is an axis.
    """

    def __init__(self, frame: Float[Tensor, "width units"] | None = None) -> None:
        super().__init__()
        found = weights()
        units = found["enc_w_hh"].shape[1]
        frame = torch.eye(units) if frame is None else frame
        self.letters, self.phonemes = (nn.Embedding(*found[name].shape) for name in ("enc_emb", "dec_emb"))
        self.encoder, self.decoder = (
            nn.GRU(found[name].shape[1], units, batch_first=True) for name in ("enc_emb", "dec_emb")
        )
        self.code, self.decode = nn.Linear(units, len(frame), bias=False), nn.Linear(len(frame), units, bias=False)
        self.readout = nn.Linear(units, len(found["fc_w"]))
        self._copy(found, frame)
        self.eval()

    @torch.no_grad()
    def _copy(self, found: Mapping[str, Tensor], frame: Tensor) -> None:
        self.code.weight.copy_(frame)
        self.decode.weight.copy_(frame.mT)
        self.readout.weight.copy_(found["fc_w"])
        self.readout.bias.copy_(found["fc_b"])
        for prefix, table, cell in (("enc", self.letters, self.encoder), ("dec", self.phonemes, self.decoder)):
            table.weight.copy_(found[f"{prefix}_emb"])
            for part in ("w_ih", "w_hh", "b_ih", "b_hh"):
                name = part.replace("w", "weight").replace("b_", "bias_")
                getattr(cell, f"{name}_l0").copy_(found[f"{prefix}_{part}"])

    def forward(
        self, input_ids: Int[Tensor, "rows letters"], decoder_input_ids: Int[Tensor, "rows time"]
    ) -> Float[Tensor, "rows time phonemes"]:
        """Return the logits of the phoneme after each of `decoder_input_ids`."""
        return self.read_on(self.begin(input_ids), decoder_input_ids)[0]

    def begin(self, input_ids: Int[Tensor, "rows letters"]) -> Float[Tensor, "1 rows units"]:
        """Return the first state of the decoder."""
        first: Tensor = self.decode(self.code(self.encoder(self.letters(input_ids))[1][0]))
        return first[None]

    def read_on(
        self, state: Float[Tensor, "1 rows units"], phonemes: Int[Tensor, "rows time"]
    ) -> tuple[Float[Tensor, "rows time phonemes"], Float[Tensor, "1 rows units"]]:
        """Return the logits after each of some phonemes, and the last state of the decoder."""
        states, last = self.decoder(self.phonemes(phonemes), state)
        return self.readout(states), last


def letter_ids(word: str) -> list[int]:
    """Return the ids of the letters of a word, and the id that ends every word."""
    places = [ord(letter) - ord("a") for letter in word]
    return [*(SPECIAL_LETTERS + at if 0 <= at < 26 else UNKNOWN_LETTER for at in places), END_OF_WORD]


@torch.no_grad()
def pronounce(network: Pronunciation, words: Int[Tensor, "rows letters"]) -> list[list[int]]:
    """Return the phonemes that the network writes for each word, with the end if it is reached.

    Each is the likeliest after those before it, and at most `MOST_PHONEMES` are written.
    """
    state, phoneme, written = network.begin(words), torch.full((len(words), 1), BEGIN), []
    for _ in range(MOST_PHONEMES):
        logits, state = network.read_on(state, phoneme)
        phoneme = logits.argmax(-1)
        written.append(phoneme)
    spoken = torch.cat(written, dim=1).tolist()
    return [each[: each.index(END) + 1] if END in each else each for each in spoken]
