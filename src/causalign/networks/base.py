"""The base of networks: a module from token ids to logits that knows its vocabulary and its task."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from causalign.errors import InvalidArgument
from causalign.files import read_tensors, write_tensors
from causalign.networks.layers import initialise
from causalign.networks.origin import Origin
from causalign.networks.regression import Regression
from causalign.networks.site_registry import site_factory
from causalign.random_streams import torch_stream
from causalign.tasks.base import Task
from causalign.tasks.vocabulary import Vocabulary

WEIGHTS = "network.safetensors"


class Network(nn.Module, ABC):
    """A network that predicts the next token at every position.

    It takes ids `[trials, time]` to logits `[trials, time, vocabulary]`.

    Args:
        vocabulary: The tokens that the network knows, in the order of their ids.
        task: The task whose trials its sites read.
        width: The width of its states.
    """

    architecture: ClassVar[str]
    origin: Origin | None = None
    """What the weights were loaded from, for a language model; `None` for others."""
    tokenizer: Any = None
    """The tokenizer of text inputs; `None` if there is none, or it is not known."""
    tolerance: float | None = None
    """The largest difference between the logits of a resumed run and of the plain run, as a share of the largest logit;
    `None` for that of the class of the site."""

    def __init__(self, vocabulary: Vocabulary, task: Task, width: int) -> None:
        super().__init__()
        self.vocabulary = vocabulary
        self.task = task
        self.width = width
        self.name = f"{task.name}/{self.architecture}"

    @abstractmethod
    def forward(self, tokens: Int[Tensor, "trials time"]) -> Float[Tensor, "trials time vocabulary"]:
        """Return the logits of the next token at every position."""

    def next_logits(
        self, tokens: Int[Tensor, "trials time"], past: Any = None
    ) -> tuple[Float[Tensor, "trials vocabulary"], Any]:
        """Return the logits of the token after the last one, and what is needed to go on from there.

        Args:
            tokens: The tokens after those that were read before.
            past: What the call for the tokens before has returned. By default, there are none.
        """
        read = tokens if past is None else torch.cat([past, tokens], dim=1)
        return self(read)[:, -1], read

    @classmethod
    def trained_on(cls, task: Task) -> Task:
        """Return the task on whose trials this architecture is trained, and whose tokens it knows.

        By default it is `task` itself.
        """
        return task

    @classmethod
    def empty(cls, vocabulary: Vocabulary, task: Task, width: int) -> "Network":
        """Return a network whose weights are on the meta device.

        Layers that drew their own weights would draw them from the global generator.
        """
        with torch.device("meta"):
            return cls(vocabulary, task, width)

    @classmethod
    def initialised(cls, task: Task, seed: int, width: int = 128) -> "Network":
        """Return an untrained, frozen network, with weights drawn from the default distributions of PyTorch's layers.

        Args:
            task: The task whose trials the network's sites read.
            seed: The seed of the weights.
            width: The width of the states.

        Raises:
            InvalidArgument: The seed is negative, or the network does not fit into memory.
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
        """Return an untrained network of the same shape, device and precision, for the control `untrained`.

        Args:
            seed: The seed of the weights.
        """
        weight = next(self.parameters())
        return type(self).initialised(self.task, seed, self.width).to(weight.device, weight.dtype)

    def save(self, folder: Path) -> None:
        """Write the weights into an existing folder.

        Raises:
            FileFormatError: The folder cannot be written.
        """
        write_tensors(folder / WEIGHTS, self.state_dict())

    @classmethod
    def saved(cls, folder: Path, vocabulary: Vocabulary, task: Task, width: int) -> "Network":
        """Return the network whose weights are saved in a folder.

        Args:
            folder: The folder.
            vocabulary: The tokens that the network knows.
            task: The task whose trials its sites read.
            width: The width of its states.

        Raises:
            FileFormatError: The file of the weights is missing or broken, or a weight is NaN or infinite.
            InvalidArgument: The weights are not those of a network of this architecture, vocabulary and width.
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
        """Return this network in evaluation mode and without weight gradients, as a search requires."""
        return self.eval().requires_grad_(False)

    def site(self, at: str, task: Task | None = None) -> Any:
        """Return the `Site` at a named place of this network.

        Args:
            at: The name of the place: `"hidden"`, `"embedding"`, `"layer.3"`, or the path of a submodule. A path
                may have a side of the call and a slice: `"layers.3.mlp:input[0:16]"`.
            task: The task whose trials the site reads. By default the network's own.

        Raises:
            InvalidArgument: There is no such place, or the network does not know the tokens of `task`.
        """
        return site_factory(self, at)(self, task or self.task)

    @property
    def ids(self) -> Mapping[str, int]:
        """The id of each token that the network knows."""
        return self.vocabulary.ids

    @property
    def known(self) -> int:
        """The number of logits. Predicted ids are below it."""
        return len(self.vocabulary)

    @property
    def inputs(self) -> int:
        """The number of ids that the network can read. Input ids are below it."""
        return self.known

    @property
    def regression(self) -> Regression | None:
        """How numbers are compared to labels, if they are the output; otherwise it is logits."""
        return None

    @property
    def fingerprint(self) -> str:
        """The first 16 hexadecimal digits of the SHA-256 of all weights, which identify the network."""
        digest = hashlib.sha256()
        for name, weight in sorted(self.state_dict().items()):
            digest.update(name.encode())
            in_bytes = weight.detach().cpu().contiguous().flatten().view(torch.uint8)  # numpy has no bfloat16
            digest.update(in_bytes.numpy().tobytes())
        return digest.hexdigest()[:16]
