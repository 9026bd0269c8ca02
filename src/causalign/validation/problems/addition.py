"""Problems of the carry in small language models that add two numbers of two digits.

The models read `ab+cd=` and write the sum digit by digit, the units first. The tens digit follows the units digit, so
that the carry is needed at the position of the units digit, which is the last that is read. The weights are in
`_weights/addition.safetensors`, which `docs/examples/addition_weights.py` trains. Interchange interventions were part
of the training, so that the first coordinates of the residual stream after one layer hold the carry, and nothing else.

Geiger et al. (2022), Inducing causal structure for interpretable neural networks.
"""

from collections.abc import Sequence
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int
from safetensors import safe_open

from causalign.counterfactuals.dataset import Counterfactuals
from causalign.errors import MissingDependency
from causalign.networks.layers import initialise
from causalign.random_streams import numpy_stream, torch_stream
from causalign.search.config import SearchConfig
from causalign.sites.base import Site
from causalign.validation.problem import Case, Problem

FILE = Path(__file__).parent / "_weights" / "addition.safetensors"
SEEDS = (0, 1)
PLUS, EQUALS = 10, 11
SIZES = {"hidden_size": 48, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}
NO_SPECIAL_IDS = {"pad_token_id": None, "bos_token_id": None, "eos_token_id": None}
ROWS, SHARES = 4800, (0.6, 0.15, 0.25)
"""The rows, and the shares of train, validation and test rows: copies of a row stay in one split."""
READ = 7
"""The tokens up to the units digit of the sum, at which the tens digit is predicted."""
AFTER_CARRY, BEFORE_CARRY = "layer.1", "embedding"
CARRIERS = 2
"""The number of the first coordinates of the residual stream that were trained to hold the carry after one layer."""
SEARCH = SearchConfig(max_steps=400)


def language_model(seed: int) -> Any:
    """Return an untrained Llama of the size of the shipped ones, which is a module of transformers.

    Raises:
        MissingDependency: transformers is not installed.
    """
    if find_spec("transformers") is None:
        raise MissingDependency("the problems of addition need transformers: pip install 'causalign[hf]'")
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(vocab_size=EQUALS + 1, max_position_embeddings=16, **SIZES, **NO_SPECIAL_IDS)
    with torch.random.fork_rng(devices=[]):  # the model draws its first weights from the global generator
        model = LlamaForCausalLM(config)
    initialise(model, torch_stream(seed, "initialise"))
    return model.eval()


def trained(seed: int) -> Any:
    """Return the shipped model of a seed.

    Raises:
        MissingDependency: transformers is not installed.
    """
    model = language_model(seed)
    with safe_open(FILE, framework="pt") as file:
        names = [key for key in file.keys() if key.startswith(f"{seed}.")]  # noqa: SIM118 - the file is no mapping
        model.load_state_dict({key.removeprefix(f"{seed}."): file.get_tensor(key).float() for key in names})
    return model


def sums(pairs: Int[np.ndarray, " rows"]) -> Int[np.ndarray, "rows 9"]:
    """Return the ids of `ab+cd=` and its sum, the units first, for numbers 100 * ab + cd."""
    left, right = pairs // 100, pairs % 100
    total = left + right
    digits = [left // 10, left % 10, np.full_like(left, PLUS), right // 10, right % 10, np.full_like(left, EQUALS)]
    return np.stack([*digits, total % 10, total // 10 % 10, total // 100], axis=1)


def carry(pairs: Int[np.ndarray, " rows"]) -> Int[np.ndarray, " rows"]:
    """Return the carry of the units, 0 or 1, for numbers 100 * ab + cd."""
    return (pairs // 100 % 10 + pairs % 10) // 10


def swapped_carry(seeds: Sequence[int], at: str, seed: int) -> Case:
    """Return the case in which the carry is swapped at the units digit of the sum.

    The expected output is the target's tens digit with the source's carry. No true subspace is given: the two
    coordinates hold the carry, which needs one dimension of them, and a search may lean towards what nothing reads.

    Args:
        seeds: The shipped models.
        at: The site.
        seed: The seed of the rows.
    """
    sites = [Site(trained(each), at, name=f"adder-{each}") for each in seeds]
    source, target = numpy_stream(seed, "rows").integers(10_000, size=(2, ROWS))
    read, own = sums(source)[:, :READ], sums(target)
    data = Counterfactuals.from_arrays(
        sites,
        source_inputs=read,
        target_inputs=own[:, :READ],
        labels=((own[:, READ] + carry(source) - carry(target)) % 10).tolist(),
        no_swap_labels=own[:, READ].tolist(),
        values=carry(source).tolist(),
        variable="carry",
        split=SHARES,
        seed=seed,
    )
    method = "das" if len(seeds) == 1 else "mas"
    return Case(data, {"method": method, "rank": CARRIERS, "search": SEARCH, "seed": seed})


def ceiling_before_carry() -> float:
    """Return the largest IIA that a swap of the units digit alone can have: sum over digits of max_c P(c, digit).

    After such a swap the output depends on the source through its units digit only. So at most the likelier carry of
    each digit is right.
    """
    joint = np.zeros((2, 10))
    for b, d in product(range(10), repeat=2):
        joint[(b + d) // 10, (b + d) % 10] += 1 / 100
    return float(joint.max(axis=0).sum())


PROBLEMS = (
    Problem(
        "addition-carry",
        "A small Llama that was trained to add two numbers of two digits, the units first, and to hold the carry in "
        "two coordinates after its first layer, at the units digit of the sum. Swapping it changes the tens digit.",
        True,
        lambda seed: swapped_carry(SEEDS[:1], AFTER_CARRY, seed),
        requires=("transformers",),
    ),
    Problem(
        "addition-carry-pair",
        "Two such Llamas, trained from different seeds, swap the carry.",
        True,
        lambda seed: swapped_carry(SEEDS, AFTER_CARRY, seed),
        requires=("transformers",),
    ),
    Problem(
        "addition-before-carry",
        "The same Llama at the embedding of the units digit of the sum, where the numbers have not been read.",
        False,
        lambda seed: swapped_carry(SEEDS[:1], BEFORE_CARRY, seed),
        ceiling=ceiling_before_carry(),
        requires=("transformers",),
    ),
)
"""The problems of the carry."""
