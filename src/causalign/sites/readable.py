"""What can be read: a site of a network, or a recording of a system that can be read and no more."""

from abc import ABC, abstractmethod

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from causalign.errors import InvalidArgument
from causalign.sites.prefix import Prefix
from causalign.tasks.causal_model import CausalModel
from causalign.tasks.trials import Trials


class Readable(ABC):
    """States of a system on trials of its task. Only a `Site` can be run on from them as well."""

    name: str
    at: str
    task: CausalModel
    width: int

    @property
    @abstractmethod
    def system(self) -> str:
        """The name of what is read: a network, or a file."""

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """16 hexadecimal digits that tell which system this was."""

    @property
    @abstractmethod
    def dtype(self) -> torch.dtype:
        """Of the states."""

    @property
    @abstractmethod
    def device(self) -> torch.device:
        """Where the states are wanted."""

    @abstractmethod
    def cast(self, dtype: torch.dtype) -> "Readable":
        """The same at another precision."""

    @abstractmethod
    def draw(self, count: int, split: str, rng: np.random.Generator) -> Trials:
        """At most `count` trials of a split (`train`, `validation`, `test`), from which no other split has any."""

    @abstractmethod
    def swappable(self, trials: Trials) -> Bool[np.ndarray, "trials time"]:
        """At which positions of drawn trials a state may be given or received."""

    @abstractmethod
    def states_and_prefix(
        self, trials: Trials, time: int, stepwise: bool = False
    ) -> tuple[Float[Tensor, "trials time width"], Prefix]:
        """The states at the first `time` positions of drawn trials, and whatever precedes a swap there."""


def finite(states: Float[Tensor, "trials ..."], site: Readable) -> Float[Tensor, "trials ..."]:
    """The states as they are.

    Raises:
        InvalidArgument: some are NaN or infinite; the site and the first such trial are named.
    """
    sound: Bool[Tensor, " trials"] = torch.isfinite(states).flatten(1).all(1)
    if not bool(sound.all()):
        trial = int((~sound).nonzero()[0, 0])
        raise InvalidArgument(f"{site.name}: the states of trial {trial} are NaN or infinite")
    return states
