"""Language models from a folder, or by their name on the Hugging Face hub."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from causalign._memory import GIB, physical
from causalign._random import numpy_stream
from causalign.errors import CausalignError, lookup
from causalign.networks._spelling import Spelling, spelled
from causalign.networks.accuracy import accuracy
from causalign.networks.huggingface import HuggingFace
from causalign.tasks import InContext, Task

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def load_huggingface(
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
    if find_spec("transformers") is None:
        raise CausalignError("language models need transformers: pip install 'causalign[hf]'")
    if dtype is not None:
        lookup("dtype", dtype, _DTYPES)
    task = InContext() if task is None else task
    name = name or f"hf:{path}"
    _require_there(str(path))
    source = {"local_files_only": Path(path).is_dir(), "trust_remote_code": trust_remote_code}
    with _one_line(name), quiet():
        spelling = Spelling((), dict(tokens)) if tokens is not None else _spelling(path, task, name, source)
        model = _weights(path, name, dtype, source)
    network = HuggingFace(model, task, spelling.ids, name, spelling.prompt)
    if isinstance(task, InContext):
        network.task = _without_failed(network, task)
    return network


def _require_there(path: str) -> None:
    """Check that a folder holds a model; what may be a name on the hub is for the hub to know."""
    if Path(path).is_dir():
        if not (Path(path) / "config.json").exists():
            raise CausalignError(f"{path}: no Hugging Face model (it has no config.json)")
    elif path.startswith((".", "/", "~")) or path.count("/") > 1:
        raise CausalignError(f"{path}: no such folder")


def _spelling(path: str | Path, task: Task, name: str, source: Mapping[str, bool]) -> Spelling:
    from transformers import AutoTokenizer

    return spelled(AutoTokenizer.from_pretrained(str(path), **source), task, name)


def _weights(path: str | Path, name: str, dtype: str | None, source: Mapping[str, bool]) -> Any:
    """The model, all of whose weights were in its files."""
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.from_pretrained(str(path), **source)
    saved = _DTYPES[dtype] if dtype else config.dtype or torch.float32
    spread = torch.cuda.is_available() and find_spec("accelerate") is not None
    if not spread:
        _require_memory(config, saved, name, source)
    model, loading = AutoModelForCausalLM.from_pretrained(
        str(path),
        dtype=saved,
        use_safetensors=True,
        output_loading_info=True,
        device_map="auto" if spread else None,
        **source,
    )
    missing = sorted(loading["missing_keys"])
    if missing:
        raise CausalignError(f"{name} lacks weights: {', '.join(missing[:3])}{' ...' if len(missing) > 3 else ''}")
    return model


def _require_memory(config: Any, dtype: torch.dtype, name: str, source: Mapping[str, bool]) -> None:
    """Check that the weights fit into the machine."""
    from transformers import AutoModelForCausalLM

    with torch.device("meta"):
        shapes = AutoModelForCausalLM.from_config(config, trust_remote_code=source["trust_remote_code"])
    numbers, there = sum(weight.numel() for weight in shapes.parameters()), physical()
    if there is not None and numbers * dtype.itemsize > there:
        halved = f"; dtype=bfloat16 takes {numbers * 2 / GIB:.1f} GiB" if dtype.itemsize > 2 else ""
        raise CausalignError(
            f"{name} takes {numbers * dtype.itemsize / GIB:.1f} GiB as {str(dtype).removeprefix('torch.')}, "
            f"and the machine has {there / GIB:.1f} GiB{halved}"
        )


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


@contextmanager
def _one_line(name: str) -> Iterator[None]:
    """What transformers has to say of a model that cannot be loaded, in a line."""
    from safetensors import SafetensorError

    try:
        yield
    except CausalignError:
        raise
    except (OSError, ValueError, KeyError, ImportError, RuntimeError, SafetensorError) as error:
        raise CausalignError(f"cannot load {name}: {' '.join(str(error).split())[:400]}") from None


@contextmanager
def quiet() -> Iterator[None]:
    """Within this, transformers draws no bars among ours, and the hub does not say how often it tries again."""
    from transformers.utils import logging as bars

    hub, drawn = logging.getLogger("huggingface_hub"), bars.is_progress_bar_enabled()
    level = hub.level
    hub.setLevel(logging.ERROR)
    bars.disable_progress_bar()
    try:
        yield
    finally:
        hub.setLevel(level)
        if drawn:
            bars.enable_progress_bar()
