"""The mean and the (co)variance of states that arrive in parts."""

import numpy as np
from jaxtyping import Bool, Float


class Moments:
    """The mean, the range, and the covariance (or only the variance of each unit) of states that arrive in parts.

    States are divided by a power of two near the first of them, so that the squares of very small and very large states
    (currents in amperes, fields in tesla) stay within the range of float64.

    Args:
        covariance: Whether the covariance is needed, and not only the variance of each unit.
    """

    def __init__(self, covariance: bool) -> None:
        self.count = 0
        self._exponent: int | None = None
        self._covariance = covariance

    def add(self, states: Float[np.ndarray, "samples units"]) -> None:
        """Add further samples, by the update of Chan, Golub and LeVeque."""
        if self._exponent is None and (largest := np.abs(states).max()) > 0:  # all states before were zero
            self._exponent = int(np.frexp(largest)[1])
        new = np.ldexp(states, -(self._exponent or 0))
        mean, low, high = new.mean(axis=0), new.min(axis=0), new.max(axis=0)
        centred = new - mean
        spread = centred.T @ centred if self._covariance else np.square(centred).sum(axis=0)
        if not self.count:
            self._mean, self._low, self._high, self._spread, self.count = mean, low, high, spread, len(new)
            return
        total = self.count + len(new)
        shift, weight = mean - self._mean, self.count * len(new) / total
        self._spread += spread + weight * (np.outer(shift, shift) if self._covariance else np.square(shift))
        self._mean = self._mean + shift * len(new) / total
        self._low, self._high = np.minimum(self._low, low), np.maximum(self._high, high)
        self.count = total

    @property
    def mean(self) -> Float[np.ndarray, " units"]:
        """The mean of each unit."""
        return np.ldexp(self._mean, self._exponent or 0)

    @property
    def deviation(self) -> Float[np.ndarray, " units"]:
        """The standard deviation of each unit. It is exactly 0 if the unit never varies."""
        spread = self._spread.diagonal() if self._covariance else self._spread
        return np.where(self.constant, 0.0, np.ldexp(np.sqrt(spread / max(1, self.count - 1)), self._exponent or 0))

    @property
    def constant(self) -> Bool[np.ndarray, " units"]:
        """Whether a unit never varies."""
        return self._low == self._high

    @property
    def relative_covariance(self) -> Float[np.ndarray, "units units"]:
        """The covariance, up to a factor that is the same for all units."""
        return self._spread / max(1, self.count - 1)

    @property
    def relative_deviation(self) -> Float[np.ndarray, " units"]:
        """The standard deviations, up to the root of the same factor."""
        return np.ldexp(self.deviation, -(self._exponent or 0))

    @property
    def root_mean_variance(self) -> float:
        """The root of the mean variance of the units; 1 if none varies."""
        return float(np.sqrt(np.square(self.relative_deviation).mean())) * self.factor or 1.0

    @property
    def factor(self) -> float:
        """The factor by which relative deviations are to be multiplied."""
        return float(np.ldexp(1.0, self._exponent or 0))
