"""What trials are to those who pair their states: so many, so long, with the values of variables at every position."""

from abc import ABC, abstractmethod

import numpy as np
from jaxtyping import Int


class Trials(ABC):
    """Trials of any system, one after another."""

    values: dict[str, Int[np.ndarray, "trials time"]]
    """The value of every variable at each position; beyond a trial's end, any."""

    @property
    @abstractmethod
    def lengths(self) -> Int[np.ndarray, " trials"]:
        """The number of positions of each trial."""

    @abstractmethod
    def __len__(self) -> int:
        """The number of trials."""

    @abstractmethod
    def __getitem__(self, trials: Int[np.ndarray, " chosen"] | slice) -> "Trials":
        """Some of them."""
