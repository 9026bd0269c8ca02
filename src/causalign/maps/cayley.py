"""The Cayley parametrization: the Cayley transform of a skew-symmetric matrix."""

from causalign.maps.rotation import Rotation


class Cayley(Rotation):
    """Q = (1 + A / 2) (1 - A / 2)^-1 Q_0, with A skew-symmetric.

    It takes a linear solve instead of a matrix exponential.
    """

    name = "cayley"
    orthogonal_map = "cayley"
