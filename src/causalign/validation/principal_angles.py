"""The principal angles between the subspaces that were found and the true ones."""

import numpy as np
from jaxtyping import Float
from scipy.linalg import subspace_angles

from causalign.alignment.result import Alignment
from causalign.validation.problem import Case


def largest_angles(found: Alignment, case: Case) -> dict[str, float]:
    """Return the largest principal angle between the found and the true subspace, in degrees.

    It is 0 where one of them contains the other, and 90 where a direction of one is orthogonal to the other.

    Returns:
        The angle by `SITE VARIABLE`, for every site and variable whose true subspace is known.
    """
    angles = {}
    for index, frames in enumerate(case.frames):
        name = found.record.sites[index].name
        for variable, true in frames.items():
            own = found.maps[index] if len(found.record.blocks) < 2 else found.maps[index].block(variable)
            angles[f"{name} {variable}"] = _degrees(own.frame.detach().numpy().astype(np.float64), true)
    return angles


def _degrees(a: Float[np.ndarray, "width _"], b: Float[np.ndarray, "width _"]) -> float:
    return float(np.degrees(subspace_angles(a, b).max()))
