"""Estimates of time and memory, compared with the alignments that follow them."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from tempfile import TemporaryDirectory

from causalign.alignment.align import align
from causalign.alignment.spec import AlignmentSpec
from causalign.benchmarks.measurement import in_child
from causalign.benchmarks.row import Row
from causalign.methods.das import DAS
from causalign.networks import zoo
from causalign.networks.checkpoint import build
from causalign.planning.estimate import estimate
from causalign.planning.shallow_models import estimate_of_spec
from causalign.search.config import SearchConfig
from causalign.sites.base import Site
from causalign.sites.uri import describe_site

_STEPS = {True: 5, False: 20}
_DESCRIBED = "language model of 12 layers, from its configuration"
_SHAPE = {
    "hidden_size": 256,
    "intermediate_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "vocab_size": 1000,
}


def planning(quick: bool) -> Iterator[Row]:
    """Yield estimated seconds and memory beside those of the alignment.

    The networks are two GRUs of the zoo, two GRUs of 512 units, two transformers, and a Llama of which only a
    configuration and a tokenizer exist. The Llama is left out if transformers is not installed.
    """
    for name in ("gru", "wide gru", "transformer", *([_DESCRIBED] if find_spec("transformers") else [])):
        (expected, memory), _ = in_child(_planned, name, _STEPS[quick])
        taken, held = in_child(_aligned, name, _STEPS[quick])
        yield Row(
            benchmark="estimate",
            case=f"{name}, {_STEPS[quick]} steps",
            ours=expected,
            unit="s",
            rival="what then happened",
            theirs=taken,
            ratio=expected / taken,
            reads="times",
            note=f"{memory:.2f} GiB expected at peak, {held:.2f} happened",
        )


def _sites(name: str) -> list[Site]:
    if name == "wide gru":
        return [build("multi-object", "gru", seed, width=512).site("hidden") for seed in range(2)]
    return [zoo.load(f"multi-object/{name}", seed).site("hidden") for seed in range(2)]


def _config(steps: int) -> SearchConfig:
    return SearchConfig(max_steps=steps, patience=steps)


def _planned(name: str, steps: int) -> tuple[float, float]:
    if name == _DESCRIBED:
        with _described(steps) as spec:
            expected = estimate_of_spec(spec)
    else:
        expected = estimate(_sites(name), search=_config(steps))
    return expected.seconds, expected.peak


def _aligned(name: str, steps: int) -> float:
    if name == _DESCRIBED:
        with _described(steps) as spec:
            described = describe_site(spec.sites[0])
            assert described is not None
            sites, began = [described.drawn()], time.perf_counter()
            align(sites, spec.config)
        return time.perf_counter() - began
    whole, began = _sites(name), time.perf_counter()
    align(whole, search=_config(steps))
    return time.perf_counter() - began


@contextmanager
def _described(steps: int) -> Iterator[AlignmentSpec]:
    """Yield the spec of an alignment of a Llama whose folder holds only a configuration and a tokenizer."""
    from transformers import AutoTokenizer, LlamaConfig

    with TemporaryDirectory() as folder:
        LlamaConfig(**_SHAPE).save_pretrained(folder)
        (words,) = [entry.folder for entry in zoo.entries() if entry.name == "in-context/llama"]
        AutoTokenizer.from_pretrained(str(words), local_files_only=True).save_pretrained(folder)
        yield AlignmentSpec(
            sites=(f"hf:{folder}@layer.6",),
            method=DAS(),
            n_train=2000,
            n_validation=200,
            n_test=200,
            search=SearchConfig(batch_size=64, max_steps=steps, patience=steps),
        )
