"""The Householder parametrization: a product of Householder reflections."""

from causalign.maps.rotation import Rotation


class Householder(Rotation):
    """Q = H_1 ... H_m Q_0, where each H is a reflection 1 - 2 v v^T / v^T v."""

    name = "householder"
    orthogonal_map = "householder"
