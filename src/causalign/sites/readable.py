"""The base of everything whose states can be read: sites of networks, and recordings, which cannot be run."""

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from causalign.errors import InvalidArgument
from causalign.sites.prefix import Prefix
from causalign.tasks.causal_model import CausalModel
from causalign.tasks.trials import Trials

Reading = tuple[Float[Tensor, "trials time width"], Prefix]
"""The states of some inputs, and their prefix."""


class Readable(ABC):
    """The states of a system on trials of its task. Only a `Site` can also be run on from them."""

    name: str
    """The name in results: `SYSTEM@PLACE`."""
    at: str
    """The name of the place in the system."""
    task: CausalModel
    """The causal model of the system's variables."""
    width: int
    """The width of the states."""

    @property
    @abstractmethod
    def system(self) -> str:
        """The name of the system: a network, or a file."""

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """16 hexadecimal digits that identify the system."""

    @property
    @abstractmethod
    def dtype(self) -> torch.dtype:
        """The precision of the states."""

    @property
    @abstractmethod
    def device(self) -> torch.device:
        """The device on which states are returned."""

    @abstractmethod
    def cast(self, dtype: torch.dtype) -> "Readable":
        """Return the same place in the same system at another precision."""

    @abstractmethod
    def draw(self, count: int, split: str, rng: np.random.Generator) -> Trials:
        """Draw at most `count` trials of a split. No two splits share trials.

        Args:
            count: The number of trials.
            split: `train`, `validation` or `test`.
            rng: The random generator of the split.
        """

    @abstractmethod
    def swappable(self, trials: Trials) -> Bool[np.ndarray, "trials time"]:
        """Return the positions of drawn trials at which a state may be the source or the target of a swap."""

    @abstractmethod
    def states_and_prefix(self, trials: Trials, time: int, stepwise: bool = False) -> Reading:
        """Return the states at the first `time` positions of drawn trials, and the prefix of swaps there.

        Args:
            trials: Trials that `draw` returned.
            time: The number of positions.
            stepwise: Whether swaps are stepwise. The prefix then holds only what the swapped states do not replace.
        """

    def trial_inputs(self, trials: Trials, time: int) -> Any:  # noqa: ARG002
        """Return the first `time` positions of drawn trials in the form in which they are read: here, the trials."""
        return trials


def finite(states: Float[Tensor, "trials ..."], site: Readable) -> Float[Tensor, "trials ..."]:
    """Check that states are finite, and return them unchanged.

    Args:
        states: The states of each trial.
        site: The site that they are from.

    Raises:
        InvalidArgument: Some are NaN or infinite. The message names the site and the first such trial.
    """
    if not states.numel() or bool(torch.stack(torch.aminmax(states)).isfinite().all()):
        return states
    sound: Bool[Tensor, " trials"] = torch.isfinite(states).flatten(1).all(1)
    trial = int((~sound).nonzero()[0, 0])
    raise InvalidArgument(f"{site.name}: the states of trial {trial} are NaN or infinite")
