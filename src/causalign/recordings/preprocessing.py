"""What the field does to recorded activity before it is compared; every step is off unless it is asked for.

    drop silent units -> square root -> z-score -> principal components

Means, deviations and components are those of the training trials. All is kept, so that it can be undone.
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
    """Which steps are asked for."""

    drop_silent: bool = False
    """Leave out units that are zero at every sample."""
    sqrt: bool = False
    """The square root of counts, whose variance does not grow with their mean."""
    zscore: bool = False
    pca: int | None = None
    """Only so many principal components."""

    def __post_init__(self) -> None:
        if self.pca is not None and self.pca < 1:
            raise InvalidArgument(f"pca is a number of components, at least 1; found {self.pca}")

    @property
    def fitted(self) -> bool:
        """Whether it takes statistics of the states."""
        return self.zscore or self.pca is not None


class Moments:
    """Mean and covariance of states that come in parts, or only the variance of each unit."""

    def __init__(self, units: int, covariance: bool) -> None:
        self.count, self.mean = 0, np.zeros(units)
        self._spread = np.zeros((units, units) if covariance else units)

    def add(self, states: Float[np.ndarray, "samples units"]) -> None:
        """Take further samples in (Chan, Golub and LeVeque's update)."""
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
        """Of all samples."""
        return self._spread / max(1, self.count - 1)

    @property
    def variance(self) -> Float[np.ndarray, " units"]:
        """Of each unit."""
        spread = self._spread.diagonal() if self._spread.ndim == 2 else self._spread
        return spread / max(1, self.count - 1)


@dataclass(frozen=True, eq=False)
class Preprocessing:
    """The steps as fitted to a recording: `apply` makes states of recorded activity, and `undo` activity of states."""

    units: int
    """How many were recorded."""
    kept: Int[Tensor, " kept"]
    """Which of them are left."""
    sqrt: bool
    mean: Float[Tensor, " kept"]
    scale: Float[Tensor, " kept"]
    components: Float[Tensor, "kept width"] | None
    """Orthonormal columns."""

    @property
    def width(self) -> int:
        """Of the states."""
        return len(self.kept) if self.components is None else self.components.shape[1]

    @property
    def nothing(self) -> bool:
        """Whether states are the activity as it was recorded."""
        as_it_was = len(self.kept) == self.units and not self.sqrt and self.components is None
        return as_it_was and not bool(self.mean.any()) and bool((self.scale == 1).all())

    def apply(self, activity: Float[Tensor, "*samples units"]) -> Float[Tensor, "*samples width"]:
        """The states of recorded activity."""
        states = activity[..., self.kept]
        states = states.sqrt_() if self.sqrt else states
        states = states.sub_(self.mean.to(activity)).div_(self.scale.to(activity))
        return states if self.components is None else states @ self.components.to(activity)

    def undo(self, states: Float[Tensor, "*samples width"]) -> Float[Tensor, "*samples units"]:
        """The activity that has these states: silent units at 0, what no component holds at its mean."""
        activity = states if self.components is None else states @ self.components.mT.to(states)
        activity = activity * self.scale.to(states) + self.mean.to(states)
        activity = activity.clamp(min=0).square() if self.sqrt else activity
        return activity.new_zeros(*states.shape[:-1], self.units).index_copy(-1, self.kept, activity)

    def tensors(self) -> dict[str, Tensor]:
        """All of it, to be saved."""
        given = {"units": torch.tensor(self.units), "kept": self.kept, "sqrt": torch.tensor(self.sqrt)}
        given |= {"mean": self.mean, "scale": self.scale}
        return given if self.components is None else given | {"components": self.components}

    @classmethod
    def of_tensors(cls, given: Mapping[str, Tensor]) -> "Preprocessing":
        """What was saved."""
        units, sqrt = int(given["units"]), bool(given["sqrt"])
        return cls(units, given["kept"], sqrt, given["mean"], given["scale"], given.get("components"))


def fit(
    asked: Preprocess, units: Sequence[str], fired: Bool[np.ndarray, " units"], moments: Moments | None
) -> Preprocessing:
    """The steps that are asked for, with the moments of the training samples (of their square roots, if those are).

    Raises:
        InvalidArgument: nothing is left, a unit that never varies would be z-scored, or there are fewer components.
    """
    kept = np.flatnonzero(fired) if asked.drop_silent else np.arange(len(units))
    if not len(kept):
        raise InvalidArgument(f"none of the {len(units)} units ever fires: nothing is left of the recording")
    mean, scale, components = np.zeros(len(kept)), np.ones(len(kept)), None
    if moments is not None:
        mean = moments.mean[kept]
        if asked.zscore:
            scale = np.sqrt(moments.variance[kept])
            constant = [units[unit] for unit in kept[~(scale > 0)]]
            if constant:
                raise InvalidArgument(
                    f"{len(constant)} units never vary in the training trials ({', '.join(constant[:3])}...): they "
                    "have no z-score; leave them out (drop_silent drops those that never fire)"
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
        raise InvalidArgument(f"pca={count} of states that vary in {rank} dimensions")
    return np.ascontiguousarray(vectors[:, ::-1][:, :count])
