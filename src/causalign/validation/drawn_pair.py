"""Pairs of small networks that are drawn so that it is known whether they can exchange a variable.

A pair is drawn by its relation and a seed. That two networks *cannot* be interchanged is proved by a ceiling, the
largest IIA of the worst direction that any maps could reach.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from scipy.stats import special_ortho_group

from causalign.counterfactuals.dataset import Counterfactuals
from causalign.networks.initialisation import untrained_copy
from causalign.random_streams import numpy_stream
from causalign.validation.problems.ceilings import affine_ceiling
from causalign.validation.problems.coded_network import CODES, A, CodedNetwork, coded_network
from causalign.validation.problems.coded_rows import coded_rows
from causalign.validation.problems.sum_network import sum_rows, trained_sum_network

VALUES, NUISANCE, TESTED = 6, 3, (300, 600)
Rows = tuple[int, int, int]


@dataclass(frozen=True)
class DrawnPair:
    """A pair of networks, as rows between their sites.

    Attributes:
        data: The counterfactual rows.
        ceiling: The largest IIA that the worst direction can have; 1 where the networks can be interchanged, and `None`
            where it is only known to be small.
    """

    data: Counterfactuals
    ceiling: float | None


@dataclass(frozen=True)
class Relation:
    """A relation between two networks.

    Attributes:
        name: Its name.
        interchangeable: Whether the networks can exchange the variable.
        statement: What the networks are.
        draw: The pair of a seed, with so many training rows.
    """

    name: str
    interchangeable: bool
    statement: str
    draw: Callable[[int, int], DrawnPair]


def _written(rng: np.random.Generator, code: str, **more: object) -> CodedNetwork:
    """Return a network whose width, scale, noise and directions are drawn."""
    return coded_network(
        code,
        VALUES,
        int(rng.integers(12, 25)),
        int(rng.integers(2**31)),
        spacing=float(rng.uniform(0.5, 2)),
        noise=float(rng.uniform(0.1, 1)),
        nuisance=NUISANCE,
        **more,  # type: ignore[arg-type]
    )


def _rows(networks: tuple[CodedNetwork, CodedNetwork], seed: int, n_train: int) -> Counterfactuals:
    return coded_rows(networks, [A], seed, (n_train, *TESTED))


def _ceiling(networks: tuple[CodedNetwork, CodedNetwork]) -> float:
    ways = (networks, networks[::-1])
    return min(affine_ceiling(a.points[0], b.points[0], b.tolerance) for a, b in ways)


def same_code(seed: int, n_train: int) -> DrawnPair:
    """Return two networks that hold the variable in one code, along other directions and at another scale."""
    rng = numpy_stream(seed, "same code")
    code = str(rng.choice(list(CODES)))
    return DrawnPair(_rows((_written(rng, code), _written(rng, code)), seed, n_train), 1.0)


def other_basis(seed: int, n_train: int) -> DrawnPair:
    """Return a trained network, and the same one with its state turned and scaled."""
    rng = numpy_stream(seed, "other basis")
    first = trained_sum_network(VALUES, NUISANCE, 16, seed)
    rotation = torch.tensor(special_ortho_group(16, seed=rng).rvs(), dtype=torch.float32)
    second = first.turned(rotation, float(rng.uniform(0.5, 2)))
    return DrawnPair(sum_rows((first, second), seed, (n_train, *TESTED)), 1.0)


def other_code(seed: int, n_train: int) -> DrawnPair:
    """Return two networks that hold the variable in codes of which one is no affine image of the other."""
    rng = numpy_stream(seed, "other code")
    flat = str(rng.choice(["linear", "circular"]))  # its points lie in a line, or a plane
    code = str(rng.choice([each for each in CODES if each != flat]))
    networks = (_written(rng, flat), _written(rng, code))
    return DrawnPair(_rows(networks, seed, n_train), _ceiling(networks))


def other_order(seed: int, n_train: int) -> DrawnPair:
    """Return two networks that hold the variable on a line, the values in another order."""
    rng = numpy_stream(seed, "other order")
    order = rng.permutation(VALUES)
    levels = np.arange(float(VALUES))[:, None]
    while affine_ceiling(levels[order], levels, 0.4) == 1:  # the same order, or the reverse
        order = rng.permutation(VALUES)
    networks = (_written(rng, "linear"), _written(rng, "linear", order=order.tolist()))
    return DrawnPair(_rows(networks, seed, n_train), _ceiling(networks))


def no_code(seed: int, n_train: int) -> DrawnPair:
    """Return a network that holds the variable, and one that takes it from its input."""
    rng = numpy_stream(seed, "no code")
    networks = (_written(rng, str(rng.choice(list(CODES)))), _written(rng, "linear", route="input"))
    return DrawnPair(_rows(networks, seed, n_train), 1 / VALUES)


def untrained(seed: int, n_train: int) -> DrawnPair:
    """Return a network that holds the variable, and one of its shape with weights that are drawn."""
    rng = numpy_stream(seed, "untrained")
    first = _written(rng, str(rng.choice(list(CODES))))
    second = cast("CodedNetwork", untrained_copy(first, seed, "coded"))
    return DrawnPair(_rows((first, second), seed, n_train), None)


RELATIONS: Mapping[str, Relation] = {
    each.name: each
    for each in (
        Relation("same code", True, "one code in both, along other directions and at another scale", same_code),
        Relation("other basis", True, "a trained network, and its state turned and scaled", other_basis),
        Relation("other code", False, "codes of which one is no affine image of the other", other_code),
        Relation("other order", False, "values on a line, in another order", other_order),
        Relation("no code", False, "one takes the variable from its input, and holds it nowhere", no_code),
        Relation("untrained", False, "one has weights that are drawn", untrained),
    )
}
"""The relations by name."""
