"""Where a language model is, what it says of itself before its weights are read, and how much it would hold."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from causalign.errors import CausalignError, InvalidArgument, MissingDependency, lookup
from causalign.memory import GIB, physical
from causalign.networks.tokenization import Spelling, spell
from causalign.tasks.base import Task

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class Source:
    """A folder, or a name on the Hugging Face hub, and how the model there is to be opened.

    Raises:
        InvalidArgument: transformers is missing, there is no such folder or no model in it, or the dtype is unknown.
    """

    path: str
    name: str
    """What the model is called."""
    dtype: str | None = None
    """By default as saved."""
    trust_remote_code: bool = False

    def __post_init__(self) -> None:
        if find_spec("transformers") is None:
            raise MissingDependency("language models need transformers: pip install 'causalign[hf]'")
        if self.dtype is not None:
            lookup("dtype", self.dtype, _DTYPES)
        if Path(self.path).is_dir():
            if not (Path(self.path) / "config.json").exists():
                raise InvalidArgument(f"{self.path}: no Hugging Face model (it has no config.json)")
        elif self.path.startswith((".", "/", "~")) or self.path.count("/") > 1:
            raise InvalidArgument(f"{self.path}: no such folder")

    @property
    def options(self) -> dict[str, bool]:
        """What transformers is told whenever it opens something there."""
        return {"local_files_only": Path(self.path).is_dir(), "trust_remote_code": self.trust_remote_code}

    def config(self, layers: int | None = None) -> Any:
        """Its configuration; that of the same model with so many layers, if they are given."""
        from transformers import AutoConfig

        config = AutoConfig.from_pretrained(self.path, **self.options)
        return config if layers is None else _of_depth(config, layers)

    def tokenizer(self) -> Any:
        """Its tokenizer; none where the folder has none."""
        from transformers import AutoTokenizer

        try:
            return AutoTokenizer.from_pretrained(self.path, **self.options)
        except (OSError, ValueError, KeyError):
            return None

    def spelling(self, task: Task) -> Spelling:
        """How its tokenizer reads a task."""
        from transformers import AutoTokenizer

        return spell(AutoTokenizer.from_pretrained(self.path, **self.options), task, self.name)

    def precision(self, config: Any) -> torch.dtype:
        """What its weights are held in."""
        return _DTYPES[self.dtype] if self.dtype else config.dtype or torch.float32

    def nbytes(self, config: Any) -> int:
        """Of the weights of a model of this configuration, none of which is made."""
        from transformers import AutoModelForCausalLM

        with torch.device("meta"):
            shapes = AutoModelForCausalLM.from_config(config, trust_remote_code=self.trust_remote_code)
        return sum(weight.numel() for weight in shapes.parameters()) * self.precision(config).itemsize

    def require_memory(self, config: Any) -> None:
        """Check that such weights fit into the machine; those that are laid out over devices are not its concern."""
        there = physical()
        if there is None or on_devices() or (nbytes := self.nbytes(config)) <= there:
            return
        dtype = self.precision(config)
        halved = f"; dtype=bfloat16 takes {nbytes * 2 / dtype.itemsize / GIB:.1f} GiB" if dtype.itemsize > 2 else ""
        raise InvalidArgument(
            f"{self.name} takes {nbytes / GIB:.1f} GiB as {str(dtype).removeprefix('torch.')}, "
            f"and the machine has {there / GIB:.1f} GiB{halved}; causalign plan says what else it would take"
        )

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Within this, transformers draws no bars, and what it has to say of a model it cannot load is one line."""
        from safetensors import SafetensorError

        try:
            with quiet():
                yield
        except CausalignError:
            raise
        except (OSError, ValueError, KeyError, ImportError, RuntimeError, SafetensorError) as error:
            raise InvalidArgument(f"cannot load {self.name}: {' '.join(str(error).split())[:400]}") from None


def on_devices() -> bool:
    """Whether models are laid out over accelerators rather than held in the machine's memory."""
    return torch.cuda.is_available() and find_spec("accelerate") is not None


def _of_depth(config: Any, layers: int) -> Any:
    config = deepcopy(config)
    config.num_hidden_layers = layers
    if getattr(config, "layer_types", None) is not None:  # whether each slides its window
        config.layer_types = config.layer_types[:layers]
    return config


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
