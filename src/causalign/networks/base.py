"""What a network of the project is: a module from token ids to logits that knows its vocabulary and its task."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from causalign.errors import InvalidArgument, lookup
from causalign.files import read_tensors, write_tensors
from causalign.networks.layers import initialise
from causalign.networks.site_registry import site_factories
from causalign.random_streams import torch_stream
from causalign.tasks.base import Task
from causalign.tasks.vocabulary import Vocabulary

WEIGHTS = "network.safetensors"


class Network(nn.Module, ABC):
    """Predicts the next token at every position: ids `[trials, time]` to logits `[trials, time, vocabulary]`."""

    architecture: ClassVar[str]

    def __init__(self, vocabulary: Vocabulary, task: Task, width: int) -> None:
        super().__init__()
        self.vocabulary = vocabulary
        self.task = task
        self.width = width
        self.name = f"{task.name}/{self.architecture}"

    @abstractmethod
    def forward(self, tokens: Int[Tensor, "trials time"]) -> Float[Tensor, "trials time vocabulary"]:
        """The logits of each next token."""

    @classmethod
    def trained_on(cls, task: Task) -> Task:
        """The task whose trials teach this architecture `task`, and whose tokens it knows; as a rule, the same."""
        return task

    @classmethod
    def empty(cls, vocabulary: Vocabulary, task: Task, width: int) -> "Network":
        """A network without weights: layers that draw their own would draw from the global generator."""
        with torch.device("meta"):
            return cls(vocabulary, task, width)

    @classmethod
    def initialised(cls, task: Task, seed: int, width: int = 128) -> "Network":
        """An untrained network in evaluation mode, its weights drawn as PyTorch's layers draw theirs.

        Raises:
            InvalidArgument: the seed is negative, or the network too large for the memory.
        """
        if seed < 0:
            raise InvalidArgument(f"seed must not be negative, found {seed}")
        network = cls.empty(cls.trained_on(task).vocabulary, task, width)
        try:
            network.to_empty(device="cpu")
        except RuntimeError:
            raise InvalidArgument(f"a {cls.architecture} of width {width} does not fit into memory") from None
        initialise(network, torch_stream(seed, "initialise", cls.architecture))
        network.name = f"untrained:{network.name}/{seed}"
        return network.freeze()

    def untrained(self, seed: int) -> "Network":
        """A network of this shape with freshly drawn weights, where these are and at their precision: a control."""
        weight = next(self.parameters())
        return type(self).initialised(self.task, seed, self.width).to(weight.device, weight.dtype)

    def save(self, folder: Path) -> None:
        """Write the weights into a folder that exists.

        Raises:
            InvalidArgument: the folder cannot be written.
        """
        write_tensors(folder / WEIGHTS, self.state_dict())

    @classmethod
    def saved(cls, folder: Path, vocabulary: Vocabulary, task: Task, width: int) -> "Network":
        """The network whose weights are in a folder.

        Raises:
            InvalidArgument: weights are missing, NaN or infinite, or not those of such a network.
        """
        network = cls.empty(vocabulary, task, width)
        weights, _ = read_tensors(folder / WEIGHTS)
        try:
            network.load_state_dict(weights, assign=True)
        except RuntimeError as error:
            reason = " ".join(str(error).split())
            raise InvalidArgument(f"{folder / WEIGHTS}: the weights do not fit the card: {reason}") from None
        return network

    def freeze(self) -> "Network":
        """This network in evaluation mode and without weight gradients, as every search wants it."""
        return self.eval().requires_grad_(False)

    def site(self, at: str, task: Task | None = None) -> Any:
        """Return the `Site` at a named place of this network.

        Args:
            at: The name of the place: `"hidden"`, `"embedding"`, `"layer.3"`, or the path of a submodule.
            task: The task whose trials the site reads; by default, the network's own.

        Raises:
            InvalidArgument: there is no such place, or the network does not know the tokens of `task`.
        """
        return lookup(f"site of {self.name}", at, site_factories(self))(self, task or self.task)

    @property
    def ids(self) -> Mapping[str, int]:
        """The id of each token that the network knows."""
        return self.vocabulary.ids

    @property
    def known(self) -> int:
        """The number of logits: predicted ids are below it."""
        return len(self.vocabulary)

    @property
    def inputs(self) -> int:
        """The number of ids that may be read: input ids are below it."""
        return self.known

    @property
    def fingerprint(self) -> str:
        """The first 16 hexadecimal digits of the SHA-256 of all weights: which network this was."""
        digest = hashlib.sha256()
        for name, weight in sorted(self.state_dict().items()):
            digest.update(name.encode())
            in_bytes = weight.detach().cpu().contiguous().flatten().view(torch.uint8)  # numpy has no bfloat16
            digest.update(in_bytes.numpy().tobytes())
        return digest.hexdigest()[:16]
