"""Measures of similarity, with what a comparison needs to know about them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float


@dataclass(frozen=True)
class Measure:
    """A measure of the similarity or distance of two arrays of states.

    Attributes:
        function: The function of the two arrays.
        low: The lowest value that it can have.
        high: The highest value.
        distance: Whether a low value means similar states.
        unbiased: Whether the noise of two arrays, if it is independent, lowers the measure like a correlation and does
            not add to it. The noise ceiling is known for these measures only.
    """

    function: Callable[[Any, Any], float]
    low: float = -1.0
    high: float = 1.0
    distance: bool = False
    unbiased: bool = True

    def __call__(self, x: Any, y: Any) -> float:
        """Return the measure of two arrays `[samples, width]`."""
        return self.function(x, y)

    def unbounded(self, values: Float[np.ndarray, "*values"]) -> Float[np.ndarray, "*values"]:
        """Return values on a scale without bounds: the logit of the share of the range (2 z for correlations)."""
        share = np.clip((values - self.low) / (self.high - self.low), 1e-12, 1 - 1e-12)
        return np.log(share) - np.log1p(-share)

    def bounded(self, scores: Float[np.ndarray, "*values"]) -> Float[np.ndarray, "*values"]:
        """Return the values of scores on the scale without bounds."""
        return self.low + (self.high - self.low) / (1 + np.exp(-scores))
