"""Language models from a folder, or by their name on the Hugging Face hub."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from causalign.errors import CausalignError
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
    """The frozen causal language model in a folder (or of that name on the hub), on trials of `task`.

    The counts of the in-context task that the model fails are left out of its trials; `network.task` says which.
    Where there is a GPU and accelerate, the model is laid out over what there is (`device_map="auto"`).

    Args:
        path: the folder; only weights in safetensors are read.
        task: whose trials it is shown: by default the in-context task.
        tokens: its id of each of the task's tokens; by default its tokenizer reads what `task.texts` says.
        dtype: `float32`, `bfloat16` or `float16`; by default as saved.
        trust_remote_code: whether code that comes with the model may be run.
        name: what it is called wherever it is reported; by default `hf:` and the path.

    Raises:
        CausalignError: there is no such model, it lacks weights or is of a kind that is not supported, its tokenizer
            does not have one token for each of the task's, it does not fit into memory, or it fails at all counts.
    """
    task = InContext() if task is None else task
    source = Source(str(path), name or f"hf:{path}", dtype, trust_remote_code)
    with source.opened():
        spelling = Spelling((), dict(tokens)) if tokens is not None else source.spelling(task)
        model = _weights(source)
    network = HuggingFace(model, task, spelling.ids, source.name, spelling.prompt)
    if isinstance(task, InContext):
        network.task = _without_failed(network, task)
    return network


def _weights(source: Source) -> Any:
    """The model, all of whose weights were in its files."""
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
        raise CausalignError(f"{source.name} lacks weights: {shown}")
    return model


def _without_failed(network: HuggingFace, task: InContext) -> InContext:
    """The task without the counts that the network fails: there is one trial of each."""
    ids, failed = task.vocabulary.within(network.ids, whose=network.name), []
    for count in task.quantities:
        trial = InContext([count], task.words).trials(1, numpy_stream(0, "counts"))
        if accuracy(network, replace(trial, tokens=ids[trial.tokens])) < 1:
            failed.append(count)
    if len(failed) == len(task.quantities):
        raise CausalignError(f"{network.name} does {task.name} at none of the counts {', '.join(map(str, failed))}")
    return InContext(task.quantities, task.words, failed)
