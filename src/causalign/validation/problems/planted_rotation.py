"""Problems of a trained network and the same network in other coordinates: turned, scaled, wider, or rearranged.

A swap between the two must be right in every row in which it is right within one network, and the maps must agree with
the placement that is known: a state and its image have the same coordinates in the aligned space.
"""

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
from jaxtyping import Float

from causalign.alignment.result import Alignment
from causalign.counterfactuals.dataset import Counterfactuals
from causalign.networks import zoo
from causalign.networks.gru import GRU
from causalign.random_streams import numpy_stream
from causalign.sites.base import Site
from causalign.tasks.variable import FULL
from causalign.validation.problem import Case, Problem
from causalign.validation.problems.turned_network import Placement, rearranged, turned

ERROR = "map error"
_NETWORK, _RANK, _DEAD, _SCALE = "modulo/gru", 16, 32, 3.0
_TRAIN, _VALIDATION, _TEST, _TRIALS = 1000, 300, 600, 300
Copy = Callable[[GRU, np.random.Generator], GRU]
"""A function from a network to the same network in other coordinates, which are drawn."""


def rotation(width: int, rng: np.random.Generator) -> Placement:
    """Draw a rotation uniformly, `[width, width]`."""
    q, r = np.linalg.qr(rng.normal(size=(width, width)))
    return q * np.sign(np.diag(r))


def _rotated(network: GRU, rng: np.random.Generator) -> GRU:
    return turned(network, rotation(network.width, rng), "rotated")


def _scaled(network: GRU, rng: np.random.Generator) -> GRU:
    return turned(network, _SCALE * rotation(network.width, rng), "rotated and scaled")


def _padded(network: GRU, rng: np.random.Generator) -> GRU:
    places = rng.choice(network.width + _DEAD, network.width, replace=False)
    return rearranged(network, np.eye(network.width + _DEAD)[:, places], "padded")


def _permuted(network: GRU, rng: np.random.Generator) -> GRU:
    return rearranged(network, np.eye(network.width)[:, rng.permutation(network.width)], "permuted")


def _case(copy: Copy, seed: int) -> Case:
    network = zoo.load(_NETWORK)
    assert isinstance(network, GRU)
    sites = [network.site("hidden"), copy(network, numpy_stream(seed, "placement")).site("hidden")]
    data = Counterfactuals.from_task(sites, n_train=_TRAIN, n_validation=_VALIDATION, n_test=_TEST, seed=seed)
    fields = {"method": "mas", "rank": _RANK}
    return Case(data, fields, (), partial(_map_error, sites=sites, rng=numpy_stream(seed, "states")))


def _map_error(found: Alignment, sites: list[Site], rng: np.random.Generator) -> Mapping[str, float]:
    """Return how far the coordinates of the values of `full` in one network are from those in the other.

    It is the root of the summed squared distances between the coordinates of each value's mean state in both networks,
    as a share of the same from their mean over all values.
    """
    trials = sites[0].task.trials(_TRIALS, rng)
    at = sites[0].task.swappable(trials.tokens)
    values = np.stack([trials.values[name][at] for name in sites[0].task.keys(FULL)], axis=1)
    _, which = np.unique(values, axis=0, return_inverse=True)
    of_values = np.eye(which.max() + 1)[which.reshape(-1)].T
    first, second = (
        _means(map_.project(site.read(site.encode(trials.tokens)).numpy()[at]), of_values)
        for map_, site in zip(found.maps, sites, strict=True)
    )
    return {ERROR: float(np.linalg.norm(first - second) / np.linalg.norm(first - first.mean(0)))}


def _means(
    coordinates: Float[np.ndarray, "states rank"], of_values: Float[np.ndarray, "values states"]
) -> Float[np.ndarray, "values rank"]:
    return of_values @ coordinates / of_values.sum(1, keepdims=True)


_COPIES: Mapping[str, tuple[str, Copy]] = {
    "planted-rotation": ("with its state turned by a random rotation between any two steps", _rotated),
    "planted-scale": (f"with its state turned by a random rotation and made {_SCALE:g} times as long", _scaled),
    "dead-units": (f"with {_DEAD} units more, which do nothing, at random places among its own", _padded),
    "permuted-units": ("with its units in another order", _permuted),
}

PLANTED = tuple(
    Problem(
        name,
        f"A trained GRU that counts modulo 4, and the same {what}. The maps must be those of the planted placement.",
        interchangeable=True,
        draw=partial(_case, copy),
        expected={ERROR: 0.05},
    )
    for name, (what, copy) in _COPIES.items()
)
"""The problems."""
