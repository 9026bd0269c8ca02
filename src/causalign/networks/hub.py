"""Loading of language models from a folder, or by their name on the Hugging Face hub."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from causalign.errors import InvalidArgument
from causalign.networks.accuracy import accuracy
from causalign.networks.base import Network
from causalign.networks.huggingface import HuggingFace, is_supported
from causalign.networks.module import ModuleNetwork, require_decoder
from causalign.networks.pretrained_source import Source, on_devices
from causalign.networks.quantization import require_plain_config
from causalign.networks.tokenization import Spelling
from causalign.random_streams import numpy_stream
from causalign.tasks.base import Task
from causalign.tasks.in_context import InContext


def from_pretrained(
    path: str | Path,
    task: Task | None = None,
    *,
    tokens: Mapping[str, int] | None = None,
    revision: str | None = None,
    dtype: str | None = None,
    device_map: str | Mapping[str, Any] | None = None,
    trust_remote_code: bool = False,
    name: str | None = None,
) -> HuggingFace | ModuleNetwork:
    """Load a causal language model from a folder, or by its name on the Hugging Face hub, and freeze it.

    The tokenizer of the model is `network.tokenizer`, and a dataset of text uses it. `network.origin` is what was
    loaded. Models of the families that `HuggingFace` supports run only what follows a swap; others are run as a whole.

    Args:
        path: The folder, or the name on the hub. Only weights in safetensors are read. A folder or a name may be that
            of a peft adapter, to whose base model it is applied.
        task: A task whose trials the model reads. Without a task, a counterfactual dataset supplies the inputs. Counts
            of the in-context task that the model fails are left out of its trials; `network.task.failed` lists them.
        tokens: The model's id of each of the task's tokens. By default its tokenizer encodes `task.texts`.
        revision: The commit, branch or tag on the hub. By default the main branch. The commit that it stands for is
            `network.origin.revision`.
        dtype: `float32`, `bfloat16` or `float16`. By default that of the saved weights.
        device_map: The devices of the weights, as transformers takes them: `"auto"`, `"cpu"`, `"cuda:0"`, or a mapping
            of submodules to devices. By default `"auto"` where there are a GPU and accelerate.
        trust_remote_code: Whether code that comes with the model may be run.
        name: The model's name in results. By default `hf:` and the path.

    Returns:
        The frozen network.

    Raises:
        InvalidArgument: There is no such model or revision, its weights are incomplete or quantized, it is an
            encoder-decoder, its tokenizer does not have one token for each of the task's tokens, it does not fit into
            memory, or it fails at all counts.
        MissingDependency: transformers is not installed, or peft, which an adapter needs.
    """
    source = Source(str(path), name or f"hf:{path}", dtype, trust_remote_code, revision, device_map)
    with source.opened():
        spelling = Spelling((), dict(tokens or {})) if task is None or tokens is not None else source.spelling(task)
        model = _weights(source)
        tokenizer = source.tokenizer()
        origin = source.origin(next(model.parameters()).dtype)
    network = _network(model, task, spelling, source.name)
    network.tokenizer, network.origin = tokenizer, origin
    if isinstance(task, InContext):
        network.task = _without_failed(network, task)
    return network


def _network(model: Any, task: Task | None, spelling: Spelling, name: str) -> HuggingFace | ModuleNetwork:
    """Return the model as a network that runs it layer by layer or, of another family, as a whole."""
    if is_supported(model):
        return HuggingFace(model, task, spelling.ids, name, spelling.prompt)
    return ModuleNetwork(model, task, spelling.ids, name, prompt=spelling.prompt)


def _weights(source: Source) -> Any:
    """Load the model, and check that its files have all of its weights."""
    from transformers import AutoModelForCausalLM

    config, whole = source.config(), source.whole
    require_plain_config(config, source.name)
    require_decoder(config, source.name)
    source.require_memory(config)
    model, loading = AutoModelForCausalLM.from_pretrained(
        whole.path,
        dtype=source.precision(config),
        use_safetensors=True,
        output_loading_info=True,
        device_map=source.device_map or ("auto" if on_devices() else None),
        **whole.options,
    )
    missing = sorted(loading["missing_keys"])
    if missing:
        shown = f"{', '.join(missing[:3])}{' ...' if len(missing) > 3 else ''}"
        raise InvalidArgument(f"{source.name} lacks weights: {shown}")
    return model if source.adapter is None else source.adapter.apply(model)


def _without_failed(network: Network, task: InContext) -> InContext:
    """Return the task without the counts that the network fails. A count has one trial."""
    ids, failed = task.vocabulary.within(network.ids, whose=network.name), []
    for count in task.quantities:
        trial = InContext([count], task.words).trials(1, numpy_stream(0, "counts"))
        if accuracy(network, replace(trial, tokens=ids[trial.tokens])) < 1:
            failed.append(count)
    if len(failed) == len(task.quantities):
        raise InvalidArgument(f"{network.name} solves {task.name} at none of the counts {', '.join(map(str, failed))}")
    return InContext(task.quantities, task.words, failed)
