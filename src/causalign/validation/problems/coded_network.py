"""Networks written by hand, whose state holds two variables in known codes and along known directions.

    h = U_a c_a(a) + U_b c_b(b) + N noise,        [y_a ; y_b] = [U_a U_b]^+ h
    logit(a, b) = -beta (|y_a - c_a(a)|^2 + |y_b - c_b(b)|^2),        logit(none) = -beta rho^2

The network answers with the pair whose code is nearest, and with `none` where no code is within the tolerance rho, so
that a state that is no code is never right. All matrices are the weights of linear layers.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from typing_extensions import override

from causalign.errors import InvalidArgument, lookup
from causalign.random_streams import numpy_stream
from causalign.validation.problems.pair_reader import PairReader

Points = Float[np.ndarray, "values _"]
"""The code of each value of a variable."""
A, B, BOTH = "a", "b", "full"
"""The names of the two variables, and of both."""
ROUTES = ("state", "input", "unused")
"""How the readout learns a: from the state; from the input, where the state does not hold a; or from the input, where
the state holds a and nothing reads it."""
_STEEPNESS = 8.0  # beta rho^2: the logit of a code, less that of `none`


def linear(values: int) -> Points:
    """Return equally spaced levels on one axis, centered, `[values, 1]`."""
    return np.arange(values)[:, None] - (values - 1) / 2


def one_hot(values: int) -> Points:
    """Return an axis for each value, `[values, values]`."""
    return np.eye(values)


def thermometer(values: int) -> Points:
    """Return as many ones as the value, and then zeros, `[values, values - 1]`."""
    return np.tri(values, values - 1, -1)


def circular(values: int) -> Points:
    """Return equally spaced points of a circle, `[values, 2]`."""
    angles = 2 * np.pi * np.arange(values) / values
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


CODES: Mapping[str, Callable[[int], Points]] = {
    "linear": linear,
    "one-hot": one_hot,
    "thermometer": thermometer,
    "circular": circular,
}
"""The codes by name."""


def code_points(code: str, values: int, spacing: float = 1.0) -> Points:
    """Return the code of every value, `[values, dimensions]`.

    Args:
        code: The name of the code.
        values: The number of values.
        spacing: The distance between the two codes that are nearest to each other.

    Raises:
        InvalidArgument: The code is unknown, or there are fewer than two values.
    """
    if values < 2:
        raise InvalidArgument(f"a code needs at least 2 values, found {values}")
    points = lookup("code", code, CODES)(values)
    distances = np.linalg.norm(points[:, None] - points, axis=2)
    return points * (spacing / distances[~np.eye(values, dtype=bool)].min())


class CodedNetwork(PairReader):
    """Logits of all pairs (a, b), and of none, for inputs `[rows, 2 values + nuisance]`.

    Class `a * values + b` is the pair (a, b), and class `values^2` is none. The site is the submodule `state`.

    Args:
        points: The code of each value of a and of b.
        frames: Orthonormal columns of each variable, of which those of a and those of b need not be orthogonal.
        noise: What each unit of the noise adds to the state, `[width, nuisance]`.
        route: How the readout learns a, one of `ROUTES`.
        tolerance: The distance rho from a pair of codes within which a state is read as that pair.

    Attributes:
        points: The code of each value of a and of b.
        tolerance: The distance rho.
        frames: The true subspaces of `a`, `b` and `full`, as orthonormal columns. Those that nothing reads are left
            out.
    """

    def __init__(
        self,
        points: tuple[Points, Points],
        frames: tuple[Float[np.ndarray, "width _"], Float[np.ndarray, "width _"]],
        noise: Float[np.ndarray, "width nuisance"],
        *,
        route: str,
        tolerance: float,
    ) -> None:
        super().__init__(len(points[0]), noise.shape[1])
        self.points, self.tolerance = points, tolerance
        together = np.concatenate(frames, axis=1)
        read = {A: frames[0], B: frames[1], BOTH: np.linalg.qr(together)[0]}
        self.frames = read if route == ROUTES[0] else {B: frames[1]}
        of_values = [frame @ its.T for frame, its in zip(frames, points, strict=True)]
        if route == "input":
            of_values[0] = np.zeros_like(of_values[0])
        self.state = _layer(np.concatenate([*of_values, noise], axis=1))
        self.decode = _layer(np.linalg.pinv(together))
        self.nearest = nn.ModuleList(_layer(2 * each, -(each**2).sum(1)) for each in points)
        rest = np.zeros((points[0].shape[1], self.values + self.nuisance))
        self.beside = None if route == ROUTES[0] else _layer(np.concatenate([points[0].T, rest], axis=1))
        self.eval()

    @override
    def forward(self, inputs: Float[Tensor, "rows inputs"]) -> Float[Tensor, "rows classes"]:
        """Return the logits."""
        sizes = [layer.in_features for layer in self.nearest if isinstance(layer, nn.Linear)]
        a, b = self.decode(self.state(inputs)).split(sizes, dim=1)
        a = a if self.beside is None else self.beside(inputs)
        near_a, near_b = (
            layer(y) - y.square().sum(1, keepdim=True) for layer, y in zip(self.nearest, (a, b), strict=True)
        )
        pairs = (near_a[:, :, None] + near_b[:, None]).flatten(1)
        none = torch.full_like(pairs[:, :1], -(self.tolerance**2))
        return _STEEPNESS / self.tolerance**2 * torch.cat([pairs, none], dim=1)


def coded_network(
    code: str,
    values: int,
    width: int,
    seed: int,
    *,
    other: str = "linear",
    order: Sequence[int] | None = None,
    spacing: float = 1.0,
    noise: float = 0.5,
    nuisance: int = 3,
    overlap: float = 0.0,
    route: str = ROUTES[0],
    tolerance: float = 0.4,
) -> CodedNetwork:
    """Return a network whose directions are drawn.

    Args:
        code: The code of a, one of `CODES`.
        values: The number of values of each variable.
        width: The width of the state.
        seed: The seed of the directions.

    Other Arguments:
        other: The code of b.
        order: A permutation of the values: value v of a has the code of `order[v]`. By default, that of v.
        spacing: The distance between the two codes of a variable that are nearest to each other.
        noise: The standard deviation of the state along each nuisance direction.
        nuisance: The number of nuisance directions, which are orthogonal to those of a and b.
        overlap: The cosine between the first direction of a and the first of b.
        route: How the readout learns a, one of `ROUTES`.
        tolerance: The distance within which a state is read as a pair of values, as a share of `spacing`.

    Raises:
        InvalidArgument: A code or route is unknown, the directions do not fit into the width, there is no nuisance
            direction, `overlap` is not from 0 to 1, or `order` is no permutation.
    """
    if route not in ROUTES:
        raise InvalidArgument(f"route must be one of {', '.join(ROUTES)}; found {route!r}")
    if not 0 <= overlap < 1:
        raise InvalidArgument(f"overlap must be at least 0 and below 1, found {overlap}")
    points = [code_points(each, values, spacing) for each in (code, other)]
    order = range(values) if order is None else order
    if sorted(order) != list(range(values)):
        raise InvalidArgument(f"order must be a permutation of 0 to {values - 1}, found {list(order)}")
    sizes = [each.shape[1] for each in points]
    if nuisance < 1 or sum(sizes) + nuisance > width:
        raise InvalidArgument(
            f"a width of {width} must hold {sizes[0]} directions of a, {sizes[1]} of b and at least one nuisance "
            f"direction; found {nuisance} of these"
        )
    drawn = np.linalg.qr(numpy_stream(seed, "coded network").normal(size=(width, width)))[0]
    of_a, of_b, of_noise, _ = np.split(drawn, np.cumsum([*sizes, nuisance]), axis=1)
    of_b[:, 0] = overlap * of_a[:, 0] + np.sqrt(1 - overlap**2) * of_b[:, 0]
    return CodedNetwork(
        (points[0][list(order)], points[1]),
        (of_a, of_b),
        noise * of_noise,
        route=route,
        tolerance=tolerance * spacing,
    )


def _layer(weight: Float[np.ndarray, "out in"], bias: Float[np.ndarray, " out"] | None = None) -> nn.Linear:
    """Return a linear layer of these weights."""
    layer = nn.utils.skip_init(nn.Linear, *reversed(weight.shape), bias=bias is not None)
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(weight))
        if bias is not None:
            layer.bias.copy_(torch.from_numpy(bias))
    return layer
