"""The matrix-exponential parametrization: the exponential of a skew-symmetric matrix."""

from causalign.maps.rotation import Rotation


class MatrixExponential(Rotation):
    """Q = exp(A) Q_0, with A skew-symmetric. This is the default of the paper."""

    name = "expm"
    orthogonal_map = "matrix_exp"
