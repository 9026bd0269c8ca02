"""A search between a GRU and a language model of 1.1 billion parameters: seconds per step, and memory."""

from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

import torch

from causalign.alignment.align import align
from causalign.benchmarks.measurement import Steps, in_child
from causalign.benchmarks.row import MissingError, Row
from causalign.memory import GIB
from causalign.networks import zoo
from causalign.networks.huggingface import HuggingFace
from causalign.random_streams import numpy_stream
from causalign.search.config import SearchConfig
from causalign.tasks.base import BEGIN
from causalign.tasks.in_context import InContext
from causalign.tasks.vocabulary import PAD

_SHAPE = {  # the shape of TinyLlama
    "vocab_size": 32_000,
    "hidden_size": 2048,
    "intermediate_size": 5632,
    "num_hidden_layers": 22,
    "num_attention_heads": 32,
    "num_key_value_heads": 4,
}
_PROMPT, _BATCH, _STEPS, _RANK, _EXTRA = 60, 4, 4, 64, 4.0


def language_model(quick: bool) -> Iterator[Row]:
    """Yield the peak memory of the search, compared with that of the weights plus 4 GiB.

    The seconds per step are in the note.

    Raises:
        MissingError: transformers is not installed.
    """
    if find_spec("transformers") is None:
        raise MissingError("the language-model benchmark needs transformers: pip install 'causalign[hf]'")
    for at in ("layer.11",) if quick else ("embedding", "layer.11"):
        (taken, weights), held = in_child(_measure, at)
        yield Row(
            benchmark="language-model",
            case=f"Llama of 1.1 billion, bfloat16, {at}, and a GRU's embedding; rank {_RANK}, batch {_BATCH} x 4",
            ours=held,
            unit="GiB at peak",
            rival=f"the weights and {_EXTRA:g} GiB",
            theirs=weights + _EXTRA,
            ratio=(weights + _EXTRA) / held,
            reads="times",
            goal=1.0,
            note=f"{taken:.2f} s a step; the weights take {weights:.2f} GiB",
        )


def _measure(at: str) -> tuple[float, float]:
    """Return the median seconds of a step, and the GiB of the weights."""
    network = untrained()
    sites = [network.site(at), zoo.load("multi-object/gru").site("embedding")]
    timer = Steps("search", {})
    config = SearchConfig(batch_size=_BATCH, initial_batch_size=_BATCH, max_steps=_STEPS, eval_every=_STEPS)
    align(sites, rank=_RANK, memory=1.0, search=config, callbacks=[timer], n_train=64, n_validation=8, n_test=8)
    return timer.medians()["ours"], sum(weight.nbytes for weight in network.parameters()) / GIB


def untrained() -> HuggingFace:
    """Return a Llama of TinyLlama's shape with random weights.

    The ids of its prompt and of the task's words are drawn at random as well.
    """
    from transformers import AutoModelForCausalLM, LlamaConfig

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made: Any = AutoModelForCausalLM.from_config(LlamaConfig(**_SHAPE), dtype=torch.bfloat16)
    task = InContext()
    ids = numpy_stream(0, "ids").choice(_SHAPE["vocab_size"], _PROMPT + len(task.vocabulary), replace=False).tolist()
    tokens = dict(zip((name for name in task.vocabulary.tokens if name != PAD), ids[_PROMPT:], strict=False))
    return HuggingFace(made, task, tokens, "llama-1.1b", prompt=[*ids[: _PROMPT - 1], tokens[BEGIN]])
