"""Preprocessing of recorded activity before it is compared. Every step is optional.

    drop silent units -> square root -> z-score -> principal components

Means, deviations and components are those of the training trials. They are kept, so that the steps can be undone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from causalign.errors import InvalidArgument


@dataclass(frozen=True)
class Preprocess:
    """The steps of preprocessing. By default none is carried out.

    Raises:
        InvalidArgument: `pca` is below 1.
    """

    drop_silent: bool = False
    """Whether to leave out units that are zero at every sample."""
    sqrt: bool = False
    """Whether to take square roots. The variance of the square root of a count does not grow with its mean."""
    zscore: bool = False
    """Whether to z-score each unit by its mean and standard deviation over the training trials."""
    pca: int | None = None
    """Number of principal components to keep. By default the states are not reduced."""

    def __post_init__(self) -> None:
        if self.pca is not None and self.pca < 1:
            raise InvalidArgument(f"pca must be a number of components, at least 1; found {self.pca}")

    @property
    def fitted(self) -> bool:
        """Whether a step needs statistics of the states."""
        return self.zscore or self.pca is not None


class Moments:
    """The mean and the covariance (or only the variance of each unit) of states that arrive in parts."""

    def __init__(self, units: int, covariance: bool) -> None:
        self.count, self.mean = 0, np.zeros(units)
        self._spread = np.zeros((units, units) if covariance else units)

    def add(self, states: Float[np.ndarray, "samples units"]) -> None:
        """Add further samples, by the update of Chan, Golub and LeVeque."""
        if not len(states):
            return
        new = states.astype(np.float64)
        mean, total = new.mean(axis=0), self.count + len(new)
        centred, shift = new - mean, mean - self.mean
        weight = self.count * len(new) / total
        if self._spread.ndim == 2:
            self._spread += centred.T @ centred + weight * np.outer(shift, shift)
        else:
            self._spread += np.square(centred).sum(axis=0) + weight * np.square(shift)
        self.mean, self.count = self.mean + shift * len(new) / total, total

    @property
    def covariance(self) -> Float[np.ndarray, "units units"]:
        """The covariance of all samples."""
        return self._spread / max(1, self.count - 1)

    @property
    def variance(self) -> Float[np.ndarray, " units"]:
        """The variance of each unit."""
        spread = self._spread.diagonal() if self._spread.ndim == 2 else self._spread
        return spread / max(1, self.count - 1)


@dataclass(frozen=True, eq=False)
class Preprocessing:
    """Preprocessing that was fitted to a recording: `apply` maps activity to states, and `undo` maps states back."""

    units: int
    """The number of recorded units."""
    kept: Int[Tensor, " kept"]
    """The indices of the units that are kept."""
    sqrt: bool
    """Whether square roots are taken."""
    mean: Float[Tensor, " kept"]
    """The mean that is subtracted from each unit."""
    scale: Float[Tensor, " kept"]
    """The deviation by which each unit is divided. It is 1 without z-scores."""
    components: Float[Tensor, "kept width"] | None
    """The principal components as orthonormal columns. `None` if the states are not reduced."""

    @property
    def width(self) -> int:
        """The width of the states."""
        return len(self.kept) if self.components is None else self.components.shape[1]

    @property
    def nothing(self) -> bool:
        """Whether the states are the recorded activity, unchanged."""
        as_it_was = len(self.kept) == self.units and not self.sqrt and self.components is None
        return as_it_was and not bool(self.mean.any()) and bool((self.scale == 1).all())

    def apply(self, activity: Float[Tensor, "*samples units"]) -> Float[Tensor, "*samples width"]:
        """Return the states of recorded activity."""
        states = activity[..., self.kept]
        states = states.sqrt_() if self.sqrt else states
        states = states.sub_(self.mean.to(activity)).div_(self.scale.to(activity))
        return states if self.components is None else states @ self.components.to(activity)

    def undo(self, states: Float[Tensor, "*samples width"]) -> Float[Tensor, "*samples units"]:
        """Return the recorded activity that has these states.

        Units that were left out are 0. Directions that no component holds are at their mean.
        """
        activity = states if self.components is None else states @ self.components.mT.to(states)
        activity = activity * self.scale.to(states) + self.mean.to(states)
        activity = activity.clamp(min=0).square() if self.sqrt else activity
        return activity.new_zeros(*states.shape[:-1], self.units).index_copy(-1, self.kept, activity)

    def tensors(self) -> dict[str, Tensor]:
        """Return all tensors, to be saved."""
        tensors = {"units": torch.tensor(self.units), "kept": self.kept, "sqrt": torch.tensor(self.sqrt)}
        tensors |= {"mean": self.mean, "scale": self.scale}
        return tensors if self.components is None else tensors | {"components": self.components}

    @classmethod
    def of_tensors(cls, saved: Mapping[str, Tensor]) -> "Preprocessing":
        """Return the preprocessing whose tensors were saved."""
        units, sqrt = int(saved["units"]), bool(saved["sqrt"])
        return cls(units, saved["kept"], sqrt, saved["mean"], saved["scale"], saved.get("components"))


def fit(
    asked: Preprocess, units: Sequence[str], fired: Bool[np.ndarray, " units"], moments: Moments | None
) -> Preprocessing:
    """Return the preprocessing with the moments of the training samples.

    Args:
        asked: The steps to carry out.
        units: The names of the units.
        fired: Whether a unit is ever nonzero.
        moments: The moments of the training samples (of their square roots, if `sqrt` is set). `None` if no step needs
            them.

    Raises:
        InvalidArgument: No unit is left, a unit that never varies would be z-scored, or the states vary in fewer
            dimensions than `pca`.
    """
    kept = np.flatnonzero(fired) if asked.drop_silent else np.arange(len(units))
    if not len(kept):
        raise InvalidArgument(f"none of the {len(units)} units ever fires, so drop_silent leaves none")
    mean, scale, components = np.zeros(len(kept)), np.ones(len(kept)), None
    if moments is not None:
        mean = moments.mean[kept]
        if asked.zscore:
            scale = np.sqrt(moments.variance[kept])
            constant = [units[unit] for unit in kept[~(scale > 0)]]
            if constant:
                raise InvalidArgument(
                    f"{len(constant)} units never vary in the training trials ({', '.join(constant[:3])}...) and "
                    "have no z-score; leave them out (drop_silent leaves out units that never fire)"
                )
        if asked.pca is not None:
            components = _components(moments.covariance[np.ix_(kept, kept)] / np.outer(scale, scale), asked.pca)
    return Preprocessing(
        len(units),
        torch.from_numpy(kept),
        asked.sqrt,
        torch.from_numpy(mean),
        torch.from_numpy(scale),
        None if components is None else torch.from_numpy(components),
    )


def _components(covariance: Float[np.ndarray, "kept kept"], count: int) -> Float[np.ndarray, "kept width"]:
    variances, vectors = np.linalg.eigh(covariance)
    rank = int((variances > 1e-10 * variances[-1]).sum())
    if count > rank:
        raise InvalidArgument(f"pca={count} is too many for states that vary in {rank} dimensions")
    return np.ascontiguousarray(vectors[:, ::-1][:, :count])
