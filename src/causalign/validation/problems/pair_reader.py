"""Networks that read two values and noise: what they read, and what class they answer with."""

import numpy as np
from jaxtyping import Float, Int
from torch import nn


class PairReader(nn.Module):
    """A network that reads inputs `[rows, 2 values + nuisance]`. Its site is the submodule `state`.

    Args:
        values: The number of values of each variable.
        nuisance: The number of units of noise.
    """

    def __init__(self, values: int, nuisance: int) -> None:
        super().__init__()
        self.values, self.nuisance = values, nuisance

    def inputs(
        self, a: Int[np.ndarray, " rows"], b: Int[np.ndarray, " rows"], rng: np.random.Generator
    ) -> Float[np.ndarray, "rows inputs"]:
        """Return inputs of these values, with noise drawn for each row."""
        units = np.eye(self.values)
        noise = rng.normal(size=(len(a), self.nuisance))
        return np.concatenate([units[a], units[b], noise], axis=1).astype(np.float32)

    def classes(self, a: Int[np.ndarray, " rows"], b: Int[np.ndarray, " rows"]) -> Int[np.ndarray, " rows"]:
        """Return the class of each pair."""
        return a * self.values + b
