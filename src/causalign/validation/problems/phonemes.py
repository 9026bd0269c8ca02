"""Problems of a network that is in use elsewhere: g2p-en, which pronounces words.

What follows a swap is known because the network itself says it: a word with another letter, or another word, is
pronounced as the network pronounces it. Words are drawn from syllables of a consonant and a vowel. The network is in
`pronunciation`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.linalg import orth

from causalign.alignment.result import Alignment
from causalign.counterfactuals.dataset import Counterfactuals
from causalign.random_streams import numpy_stream, torch_stream
from causalign.search.config import SearchConfig
from causalign.sites.base import Site
from causalign.validation.problem import Case, Problem
from causalign.validation.problems.pronunciation import (
    BEGIN,
    SPECIAL_LETTERS,
    Pronunciation,
    letter_ids,
    pronounce,
)

CONSONANTS, VOWELS, SYLLABLES = "bcdfghjklmnpqrstvwxyz", "aeiou", 3
LETTERS = 26
"""The rank of the swap of a letter. Letters differ along one dimension less, and the closed-form start also takes what
they have in common."""
ROWS, SHARES = 1500, (0.6, 0.15, 0.25)
"""The rows, and the shares of train, validation and test rows: copies of a row stay in one split."""
SPARE_WIDTH = 16
"""Directions of the code of a rotated copy that the encoder's state does not have."""


def letter(seed: int) -> Case:
    """Return the case in which the embedding of one letter is swapped.

    The expected output is what the network says to the target word with the source's letter.
    """
    network, rng = Pronunciation(), numpy_stream(seed, "rows")
    source, target = words(ROWS, rng), words(ROWS, rng)
    places, rows = rng.integers(2 * SYLLABLES, size=ROWS), np.arange(ROWS)
    after = target.copy()
    after[rows, places] = source[rows, places]
    data = Counterfactuals.from_arrays(
        Site(network, "letters", inputs=inputs(target[:3])),
        source_inputs=inputs(source),
        target_inputs=inputs(target),
        source_positions=places,
        target_positions=places,
        labels=pronounce(network, torch.from_numpy(after)),
        no_swap_labels=pronounce(network, torch.from_numpy(target)),
        values=source[rows, places].tolist(),
        variable="letter",
        split=SHARES,
        seed=seed,
    )
    embeddings = network.letters.weight[SPECIAL_LETTERS:].detach().numpy().astype(np.float64)
    frame = orth((embeddings - embeddings.mean(axis=0)).T)
    fields = {"method": "das", "rank": LETTERS, "search": SearchConfig(max_steps=60, batch_size=128)}
    return Case(data, fields | {"seed": seed}, ({"letter": frame},))


def rotated(seed: int) -> Case:
    """Return the case in which the code of a word is swapped between the network and a copy with a rotated code."""
    first = Pronunciation()
    units = first.encoder.hidden_size
    turned = torch.linalg.qr(torch.randn(units + SPARE_WIDTH, units, generator=torch_stream(seed, "rotation"))).Q
    second = Pronunciation(turned)
    data = _whole_words([first, second], seed)
    search = SearchConfig(max_steps=0)  # the start in closed form is the answer
    frames = tuple({"word": each} for each in (np.eye(units), turned.numpy().astype(np.float64)))

    def checks(found: Alignment) -> Mapping[str, float]:
        return {"map error": _map_error(found, turned)}

    return Case(
        data, {"method": "mas", "rank": units, "start": "paired", "search": search, "seed": seed}, frames, checks
    )


def words(count: int, rng: np.random.Generator) -> Int[np.ndarray, "rows letters"]:
    """Return the ids of words of three syllables, a consonant and a vowel each, and of the end of the word."""
    kinds = [CONSONANTS, VOWELS] * SYLLABLES
    ids = [np.array(letter_ids(kind)[:-1])[rng.integers(len(kind), size=count)] for kind in kinds]
    return np.stack([*ids, np.full(count, letter_ids("")[0])], axis=1)


def inputs(ids: Int[np.ndarray, "rows letters"]) -> dict[str, Int[np.ndarray, "rows _"]]:
    """Return words as the network reads them, with the id before the first phoneme."""
    return {"input_ids": ids, "decoder_input_ids": np.full((len(ids), 1), BEGIN)}


def _whole_words(networks: Sequence[Any], seed: int) -> Counterfactuals:
    """Return rows in which a network should say the source's word as the first network says it."""
    rng = numpy_stream(seed, "rows")
    source, target = words(ROWS, rng), words(ROWS, rng)
    spoken, own = (pronounce(networks[0], torch.from_numpy(each)) for each in (source, target))
    return Counterfactuals.from_arrays(
        [Site(each, "code", inputs=inputs(target[:3])) for each in networks],
        source_inputs=inputs(source),
        target_inputs=inputs(target),
        labels=spoken,
        no_swap_labels=own,
        variable="word",
        split=SHARES,
        seed=seed,
    )


def _map_error(found: Alignment, turned: Float[torch.Tensor, "width units"]) -> float:
    """Return how far the map from the first code to the second is from the planted rotation, relative to it.

    The map is (a_1 / a_2) V_2 V_1^T of equation 13, and the error ||map - Q|| / ||Q|| in the Frobenius norm.
    """
    first, second = found.maps
    own = float(first.scale / second.scale) * second.frame.detach() @ first.frame.detach().mT
    return float((own - turned).norm() / turned.norm())


PROBLEMS = (
    Problem(
        "phonemes-letter",
        "g2p-en, a network of letters to phonemes that nobody here trained, at the embeddings of letters. Swapping a "
        "letter is writing another word, which the network pronounces. The letters differ along 25 directions.",
        True,
        letter,
        requires=("g2p_en",),
    ),
    Problem(
        "phonemes-rotated",
        "g2p-en and a copy whose code of a word is rotated and wider. The map between them is the planted rotation of "
        "all 256 dimensions.",
        True,
        rotated,
        expected={"map error": 0.05},
        requires=("g2p_en",),
    ),
)
"""The problems of pronunciation."""
