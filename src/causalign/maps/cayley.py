"""The Cayley transform of a skew-symmetric matrix."""

from causalign.maps.rotation import Rotation


class Cayley(Rotation):
    """Q = (1 + A / 2) (1 - A / 2)^-1 Q_0 with A skew-symmetric: a linear solve instead of an exponential."""

    name = "cayley"
    orthogonal_map = "cayley"
