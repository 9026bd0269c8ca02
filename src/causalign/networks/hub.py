"""Loading of language models from a folder, or by their name on the Hugging Face hub."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from causalign.errors import InvalidArgument
from causalign.networks.accuracy import accuracy
from causalign.networks.huggingface import HuggingFace
from causalign.networks.pretrained_source import Source, on_devices
from causalign.networks.tokenization import Spelling
from causalign.random_streams import numpy_stream
from causalign.tasks.base import Task
from causalign.tasks.in_context import InContext


def from_pretrained(
    path: str | Path,
    task: Task | None = None,
    *,
    tokens: Mapping[str, int] | None = None,
    dtype: str | None = None,
    trust_remote_code: bool = False,
    name: str | None = None,
) -> HuggingFace:
    """Load a causal language model from a folder, or by its name on the Hugging Face hub, and freeze it.

    The tokenizer of the model is `network.tokenizer`, and a dataset of text uses it. With a GPU and accelerate, the
    model is distributed over the available devices (`device_map="auto"`).

    Args:
        path: The folder, or the name on the hub. Only weights in safetensors are read.
        task: A task whose trials the model reads. Without a task, a counterfactual dataset supplies the inputs. Counts
            of the in-context task that the model fails are left out of its trials; `network.task.failed` lists them.
        tokens: The model's id of each of the task's tokens. By default its tokenizer encodes `task.texts`.
        dtype: `float32`, `bfloat16` or `float16`. By default that of the saved weights.
        trust_remote_code: Whether code that comes with the model may be run.
        name: The model's name in results. By default `hf:` and the path.

    Returns:
        The frozen network.

    Raises:
        InvalidArgument: There is no such model, its weights are incomplete, its type is not supported, its tokenizer
            does not have one token for each of the task's tokens, it does not fit into memory, or it fails at all
            counts.
        MissingDependency: transformers is not installed.
    """
    source = Source(str(path), name or f"hf:{path}", dtype, trust_remote_code)
    with source.opened():
        spelling = Spelling((), dict(tokens or {})) if task is None or tokens is not None else source.spelling(task)
        model = _weights(source)
        tokenizer = source.tokenizer()
    network = HuggingFace(model, task, spelling.ids, source.name, spelling.prompt)
    network.tokenizer = tokenizer
    if isinstance(task, InContext):
        network.task = _without_failed(network, task)
    return network


def _weights(source: Source) -> Any:
    """Load the model, and check that its files have all of its weights."""
    from transformers import AutoModelForCausalLM

    config = source.config()
    source.require_memory(config)
    model, loading = AutoModelForCausalLM.from_pretrained(
        source.path,
        dtype=source.precision(config),
        use_safetensors=True,
        output_loading_info=True,
        device_map="auto" if on_devices() else None,
        **source.options,
    )
    missing = sorted(loading["missing_keys"])
    if missing:
        shown = f"{', '.join(missing[:3])}{' ...' if len(missing) > 3 else ''}"
        raise InvalidArgument(f"{source.name} lacks weights: {shown}")
    return model


def _without_failed(network: HuggingFace, task: InContext) -> InContext:
    """Return the task without the counts that the network fails. A count has one trial."""
    ids, failed = task.vocabulary.within(network.ids, whose=network.name), []
    for count in task.quantities:
        trial = InContext([count], task.words).trials(1, numpy_stream(0, "counts"))
        if accuracy(network, replace(trial, tokens=ids[trial.tokens])) < 1:
            failed.append(count)
    if len(failed) == len(task.quantities):
        raise InvalidArgument(f"{network.name} solves {task.name} at none of the counts {', '.join(map(str, failed))}")
    return InContext(task.quantities, task.words, failed)
