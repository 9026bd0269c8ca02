"""Alignment maps, and the parametrizations that a search trains."""

from causalign.errors import lookup
from causalign.maps.base import AlignmentMap, TrainableMap, complete, orthonormal, random_frame, require_rank
from causalign.maps.cayley import Cayley
from causalign.maps.expm import MatrixExponential
from causalign.maps.gram_schmidt import GramSchmidt
from causalign.maps.householder import Householder

__all__ = [
    "DEFAULT",
    "PARAMETRIZATIONS",
    "AlignmentMap",
    "Cayley",
    "GramSchmidt",
    "Householder",
    "MatrixExponential",
    "TrainableMap",
    "complete",
    "orthonormal",
    "parametrization",
    "random_frame",
    "require_rank",
]

PARAMETRIZATIONS: dict[str, type[TrainableMap]] = {
    kind.name: kind for kind in (GramSchmidt, MatrixExponential, Cayley, Householder)
}
DEFAULT = GramSchmidt.name


def parametrization(name: str) -> type[TrainableMap]:
    """Return the class of a parametrization by its name.

    Args:
        name: A key of `PARAMETRIZATIONS`, such as `"gram-schmidt"`.

    Raises:
        InvalidArgument: There is no parametrization of this name.
    """
    return lookup("map", name, PARAMETRIZATIONS)
