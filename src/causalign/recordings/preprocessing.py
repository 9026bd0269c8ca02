"""Preprocessing of recorded activity before it is compared. Every step is optional.

    drop silent units -> square root -> z-score -> principal components -> unit variance

Means, deviations and components are those of the training trials. They are kept, so that the steps can be undone. The
last step divides all states by one number, the root of their mean variance, so that no distance depends on the unit of
measurement.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Num
from torch import Tensor

from causalign.errors import InvalidArgument
from causalign.recordings.moments import Moments
from causalign.recordings.precision import as_precise


@dataclass(frozen=True)
class Preprocess:
    """The steps of preprocessing. By default none is carried out.

    Raises:
        InvalidArgument: `pca` is not a whole number of at least 1.
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
        whole = isinstance(self.pca, int) and not isinstance(self.pca, bool)
        if self.pca is not None and not (whole and self.pca >= 1):
            raise InvalidArgument(f"pca must be a number of components, a whole number of at least 1; found {self.pca}")

    @property
    def centers(self) -> bool:
        """Whether the mean of each unit is subtracted."""
        return self.zscore or self.pca is not None


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
    """The number by which each unit is divided: `unit`, and the unit's deviation if states are z-scored."""
    unit: float
    """The root mean variance of the states, in which they are measured. It is 1 if they are left as they are."""
    components: Float[Tensor, "kept width"] | None
    """The principal components as orthonormal columns. `None` if the states are not reduced."""

    @property
    def width(self) -> int:
        """The width of the states."""
        return len(self.kept) if self.components is None else self.components.shape[1]

    @property
    def only_unit(self) -> bool:
        """Whether the states are the recorded activity, but for the unit in which they are measured."""
        as_it_was = len(self.kept) == self.units and not self.sqrt and self.components is None
        return as_it_was and not bool(self.mean.any()) and bool((self.scale == self.unit).all())

    def apply(self, activity: Num[Tensor, "*samples units"]) -> Float[Tensor, "*samples width"]:
        """Return the states of recorded activity, computed in double precision.

        They have the precision of the activity, and double precision if it is of whole numbers.
        """
        states = activity.cpu().double()[..., self.kept]
        states = states.sqrt() if self.sqrt else states
        states = (states - self.mean) / self.scale
        return as_precise(states if self.components is None else states @ self.components, activity)

    def undo(self, states: Float[Tensor, "*samples width"]) -> Float[Tensor, "*samples units"]:
        """Return the recorded activity that has these states, computed in double precision, in that of the states.

        Units that were left out are 0. Directions that no component holds are at their mean.
        """
        activity = states.cpu().double()
        activity = activity if self.components is None else activity @ self.components.mT
        activity = activity * self.scale + self.mean
        activity = activity.clamp(min=0).square() if self.sqrt else activity
        every = activity.new_zeros(*states.shape[:-1], self.units).index_copy(-1, self.kept, activity)
        return as_precise(every, states)

    def tensors(self) -> dict[str, Tensor]:
        """Return all tensors, to be saved."""
        tensors = {"units": torch.tensor(self.units), "kept": self.kept, "sqrt": torch.tensor(self.sqrt)}
        tensors |= {"mean": self.mean, "scale": self.scale, "unit": torch.tensor(self.unit, dtype=torch.float64)}
        return tensors if self.components is None else tensors | {"components": self.components}

    @classmethod
    def of_tensors(cls, saved: Mapping[str, Tensor]) -> "Preprocessing":
        """Return the preprocessing whose tensors were saved."""
        units, sqrt = int(saved["units"]), bool(saved["sqrt"])
        unit = float(saved["unit"])
        return cls(units, saved["kept"], sqrt, saved["mean"], saved["scale"], unit, saved.get("components"))


def fit(
    asked: Preprocess, units: Sequence[str], fired: Bool[np.ndarray, " units"], moments: Moments, *, unit_variance: bool
) -> Preprocessing:
    """Return the preprocessing with the moments of the training samples.

    Args:
        asked: The steps to carry out.
        units: The names of the units.
        fired: Whether a unit is ever nonzero.
        moments: The moments of the training samples (of their square roots, if `sqrt` is set).
        unit_variance: Whether states are measured in units of the root of their mean variance.

    Raises:
        InvalidArgument: No unit is left, a unit that never varies would be z-scored, or the states vary in fewer
            dimensions than `pca`.
    """
    kept = np.flatnonzero(fired) if asked.drop_silent else np.arange(len(units))
    if not len(kept):
        raise InvalidArgument(f"none of the {len(units)} units ever fires, so drop_silent leaves none")
    deviation = moments.relative_deviation[kept]
    if asked.zscore:
        _require_variation(deviation, [units[int(unit)] for unit in kept])
    scale = deviation if asked.zscore else np.ones(len(kept))
    variances, components = np.square(deviation / scale), None
    if asked.pca is not None:
        covariance = moments.relative_covariance[np.ix_(kept, kept)] / np.outer(scale, scale)
        variances, components = _components(covariance, asked.pca)
    factor = 1.0 if asked.zscore else moments.factor  # of the variances, which are relative
    unit = float(np.sqrt(variances.mean())) * factor if unit_variance and variances.any() else 1.0
    return Preprocessing(
        len(units),
        torch.from_numpy(kept),
        asked.sqrt,
        torch.from_numpy(moments.mean[kept] if asked.centers else np.zeros(len(kept))),
        torch.from_numpy((moments.deviation[kept] if asked.zscore else np.ones(len(kept))) * unit),
        unit,
        None if components is None else torch.from_numpy(components),
    )


def _require_variation(deviation: Float[np.ndarray, " kept"], units: Sequence[str]) -> None:
    constant = [unit for unit, spread in zip(units, deviation, strict=True) if not spread > 0]
    if constant:
        raise InvalidArgument(
            f"{len(constant)} units never vary in the training trials ({', '.join(constant[:3])}...) and have no "
            "z-score; leave them out (drop_silent leaves out units that never fire in any trial; units= chooses others)"
        )


def _components(
    covariance: Float[np.ndarray, "kept kept"], count: int
) -> tuple[Float[np.ndarray, " width"], Float[np.ndarray, "kept width"]]:
    """Return the variances along the first principal components, and the components."""
    variances, vectors = np.linalg.eigh(covariance)
    rank = int((variances > 1e-10 * variances[-1]).sum())
    if count > rank:
        raise InvalidArgument(f"pca={count} is too many for states that vary in {rank} dimensions")
    return variances[::-1][:count], np.ascontiguousarray(vectors[:, ::-1][:, :count])
