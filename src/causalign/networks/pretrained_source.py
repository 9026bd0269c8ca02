"""The source of a language model: where it is saved, its configuration, its tokenizer, and the size of its weights."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from causalign.errors import CausalignError, InvalidArgument, MissingDependency, lookup
from causalign.memory import GIB, physical
from causalign.networks.adapter import CONFIG, Adapter
from causalign.networks.origin import Origin
from causalign.networks.tokenization import Spelling, spell
from causalign.tasks.base import Task

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class Source:
    """A folder or a name on the Hugging Face hub, and the options with which its model is loaded.

    Raises:
        InvalidArgument: There is no such folder, no model is in it, or the dtype is unknown.
        MissingDependency: transformers is not installed.
    """

    path: str
    """The folder, or the name on the hub."""
    name: str
    """The name of the model in results and messages."""
    dtype: str | None = None
    """`float32`, `bfloat16` or `float16`. By default that of the saved weights."""
    trust_remote_code: bool = False
    """Whether code that comes with the model may be run."""
    revision: str | None = None
    """The commit, branch or tag on the hub. By default the main branch."""
    device_map: str | Mapping[str, Any] | None = None
    """The devices of the weights, as transformers takes them. By default `auto` where there is an accelerator."""

    def __post_init__(self) -> None:
        if find_spec("transformers") is None:
            raise MissingDependency("language models need transformers: pip install 'causalign[hf]'")
        if self.dtype is not None:
            lookup("dtype", self.dtype, _DTYPES)
        if Path(self.path).is_dir():
            if not any((Path(self.path) / name).exists() for name in ("config.json", CONFIG)):
                raise InvalidArgument(f"{self.path}: no Hugging Face model (it has no config.json)")
            if self.revision is not None:
                raise InvalidArgument(f"{self.path} is a folder, which has no revision {self.revision!r}; leave it out")
        elif self.path.startswith((".", "/", "~")) or self.path.count("/") > 1:
            raise InvalidArgument(f"{self.path}: no such folder")

    @property
    def options(self) -> dict[str, Any]:
        """The options of every call of transformers that loads something from the source."""
        return {"trust_remote_code": self.trust_remote_code, **self._place}

    @property
    def _place(self) -> dict[str, Any]:
        return {"local_files_only": Path(self.path).is_dir(), "revision": self.revision}

    @cached_property
    def adapter(self) -> Adapter | None:
        """The adapter in the source; `None` if it has the weights of a whole model."""
        from transformers.utils.peft_utils import find_adapter_config_file

        file = find_adapter_config_file(self.path, **self._place)
        return None if file is None else Adapter.read(Path(file), self.path, self.revision)

    @cached_property
    def whole(self) -> "Source":
        """The source of the whole model: this one or, for an adapter, that of the model that it adapts."""
        if self.adapter is None:
            return self
        return replace(self, path=self.adapter.base, revision=self.adapter.base_revision)

    def origin(self, dtype: torch.dtype) -> Origin:
        """Return what is loaded from the source: the commit, where the files show it, and the precision."""
        if Path(self.path).is_dir():
            path, revision = str(Path(self.path).resolve()), None
        else:
            path, revision = self.path, self._commit() or self.revision
        base = None if self.adapter is None else self.whole.origin(dtype)
        return Origin(path=path, revision=revision, dtype=str(dtype).removeprefix("torch."), base=base)

    def _commit(self) -> str | None:
        """Return the commit in the hub's folder of files; `None` if it has none."""
        from transformers.utils.hub import cached_file, extract_commit_hash

        name = "config.json" if self.adapter is None else CONFIG
        commit: str | None = extract_commit_hash(cached_file(self.path, name, **self._place), None)
        return commit

    def config(self, layers: int | None = None) -> Any:
        """Return the configuration of the model.

        Args:
            layers: Another number of layers, for which the configuration is changed.
        """
        from transformers import AutoConfig

        config = AutoConfig.from_pretrained(self.whole.path, **self.whole.options)
        return config if layers is None else _of_depth(config, layers)

    def tokenizer(self) -> Any:
        """Return the tokenizer of the model, or `None` if it has none. An adapter may have one of its own."""
        try:
            return self._tokenizer()
        except (OSError, ValueError, KeyError):
            return None

    def _tokenizer(self) -> Any:
        from transformers import AutoTokenizer

        if self.adapter is not None:
            with suppress(OSError, ValueError, KeyError):
                return AutoTokenizer.from_pretrained(self.path, **self.options)
        return AutoTokenizer.from_pretrained(self.whole.path, **self.whole.options)

    def spelling(self, task: Task) -> Spelling:
        """Return the ids with which the model's tokenizer encodes a task.

        Raises:
            InvalidArgument: The tokenizer does not have one token for each of the task's tokens.
        """
        return spell(self._tokenizer(), task, self.name)

    def precision(self, config: Any) -> torch.dtype:
        """Return the dtype of the weights."""
        return _DTYPES[self.dtype] if self.dtype else config.dtype or torch.float32

    def nbytes(self, config: Any) -> int:
        """Return the bytes of the weights of a model of this configuration, without allocating them."""
        from transformers import AutoModelForCausalLM

        with torch.device("meta"):
            shapes = AutoModelForCausalLM.from_config(config, trust_remote_code=self.trust_remote_code)
        return sum(weight.numel() for weight in shapes.parameters()) * self.precision(config).itemsize

    def require_memory(self, config: Any) -> None:
        """Check that the weights of this configuration fit into memory.

        Weights that are distributed over accelerators are not checked.

        Raises:
            InvalidArgument: The weights do not fit into memory.
        """
        there = physical()
        if there is None or on_devices() or (nbytes := self.nbytes(config)) <= there:
            return
        dtype = self.precision(config)
        halved = f"; dtype=bfloat16 takes {nbytes * 2 / dtype.itemsize / GIB:.1f} GiB" if dtype.itemsize > 2 else ""
        raise InvalidArgument(
            f"{self.name} takes {nbytes / GIB:.1f} GiB as {str(dtype).removeprefix('torch.')}, "
            f"and the machine has {there / GIB:.1f} GiB{halved}; causalign estimate shows what an alignment of it takes"
        )

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Silence the progress bars of transformers, and turn its errors into errors of one line, within the context.

        Raises:
            InvalidArgument: transformers cannot load the model.
        """
        from safetensors import SafetensorError

        try:
            with quiet():
                yield
        except CausalignError:
            raise
        except (OSError, ValueError, KeyError, ImportError, RuntimeError, SafetensorError) as error:
            raise InvalidArgument(f"cannot load {self.name}: {' '.join(str(error).split())[:400]}") from None


def on_devices() -> bool:
    """Return whether models are distributed over accelerators, and not held in the machine's memory."""
    return torch.cuda.is_available() and find_spec("accelerate") is not None


def _of_depth(config: Any, layers: int) -> Any:
    config = deepcopy(config)
    config.num_hidden_layers = layers
    if getattr(config, "layer_types", None) is not None:  # the type of attention of each layer
        config.layer_types = config.layer_types[:layers]
    return config


@contextmanager
def quiet() -> Iterator[None]:
    """Silence the progress bars of transformers and the retry warnings of the hub within the context."""
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
