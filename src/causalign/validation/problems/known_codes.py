"""Problems of networks written by hand, which hold two variables in codes and along directions that are known.

Every network answers with a pair (a, b), or with `none` where its state is near no code. So an argument about codes
bounds the IIA, whatever subspaces a search finds.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from causalign.alignment.result import Alignment
from causalign.validation.problem import Case, Problem
from causalign.validation.problems.ceilings import affine_ceiling, overlap_ceiling
from causalign.validation.problems.coded_network import BOTH, A, B, CodedNetwork, code_points, coded_network
from causalign.validation.problems.coded_rows import coded_rows

VALUES, TOLERANCE = 6, 0.4
WIDTHS = (16, 20)
ORDER = (0, 4, 2, 5, 1, 3)
"""The levels of the values in a network that has them in another order."""
OVERLAP, NARROW = 0.8, 0.25
"""The cosine between directions that overlap, and the tolerance of the networks that have them."""
EXCESS = "IIA above no swap"
_STEPS = 200  # of a search that has nothing to find, and may go on for long
_LEVELS = np.arange(float(VALUES))[:, None]


def _case(networks: list[CodedNetwork], rank: int | Mapping[str, int], variables: tuple[str, ...], seed: int) -> Case:
    """Return the case of some networks: `das` within one, and `mas` between two."""
    fields: dict[str, Any] = {"method": "das" if len(networks) == 1 else "mas", "rank": rank}
    frames = tuple({name: network.frames[name] for name in variables} for network in networks)
    return Case(coded_rows(networks, variables, seed), fields, frames)


def _pair(first: str, second: str, seed: int, **of_second: Any) -> list[CodedNetwork]:
    """Return two networks of different widths, spacings and directions, with these codes of a."""
    of_first, of_other = (np.random.SeedSequence(seed).generate_state(2)).tolist()
    return [
        coded_network(first, VALUES, WIDTHS[0], of_first),
        coded_network(second, VALUES, WIDTHS[1], of_other, spacing=2.0, **of_second),
    ]


def _linear(seed: int) -> Case:
    return _case(_pair("linear", "linear", seed), 1, (A,), seed)


def _orthogonal(seed: int) -> Case:
    of_first, of_other = (np.random.SeedSequence(seed).generate_state(2)).tolist()
    networks = [
        coded_network("linear", VALUES, WIDTHS[0], of_first, other="circular"),
        coded_network("linear", VALUES, WIDTHS[1], of_other, other="circular", spacing=2.0),
    ]
    return _case(networks, {A: 1, B: 2}, (A, B), seed)


def _overlapping(variable: str, rank: int, seed: int) -> Case:
    network = coded_network("linear", VALUES, WIDTHS[0], seed, overlap=OVERLAP, tolerance=NARROW)
    return _case([network], rank, (variable,), seed)


def _equal(seed: int) -> Case:
    network = coded_network("linear", VALUES, WIDTHS[0], seed)
    rows = coded_rows([network], (A,), seed, equal=True)
    return Case(rows, {"method": "das", "rank": 1}, ({A: network.frames[A]},))


def _other_code(code: str, seed: int) -> Case:
    networks = _pair("linear", code, seed)
    rank = code_points(code, VALUES).shape[1]
    return Case(coded_rows(networks, (A,), seed), {"method": "mas", "rank": rank, "search": {"max_steps": _STEPS}})


def _permuted(seed: int) -> Case:
    return _case(_pair("linear", "linear", seed, order=ORDER), 1, (A,), seed)


def _around_the_state(route: str, seed: int) -> Case:
    network = coded_network("linear", VALUES, WIDTHS[0], seed, route=route)
    return Case(coded_rows([network], (A,), seed), {"method": "das", "rank": 1}, (), _excess)


def _excess(found: Alignment) -> Mapping[str, float]:
    """Return by how much the worst direction's IIA exceeds the score of the same rows with nothing swapped."""
    return {EXCESS: float((found.iia["iia"] - found.iia["no_swap"]).max())}


def _code_ceiling(code: str) -> float:
    return affine_ceiling(_LEVELS, code_points(code, VALUES), TOLERANCE)


def _negative(name: str, statement: str, draw: Callable[[int], Case], ceiling: float, **fields: Any) -> Problem:
    return Problem(name, statement, interchangeable=False, draw=draw, ceiling=ceiling, **fields)


KNOWN_CODES = (
    Problem(
        "linear-code",
        "Two networks hold the variable a on a line, of different direction, spacing and width. One column carries it.",
        interchangeable=True,
        draw=_linear,
    ),
    Problem(
        "orthogonal-variables",
        "Two networks hold a on a line and b on a circle, orthogonal to it. A block for each carries its variable.",
        interchangeable=True,
        draw=_orthogonal,
    ),
    _negative(
        "overlapping-variable",
        f"The directions of a and b have a cosine of {OVERLAP}. An orthogonal projection that moves a along its own "
        "direction also moves b: no subspace carries a alone.",
        partial(_overlapping, A, 1),
        overlap_ceiling(OVERLAP, VALUES, NARROW),
    ),
    Problem(
        "overlapping-variables",
        f"The same network, whose directions of a and b have a cosine of {OVERLAP}. Their plane carries both.",
        interchangeable=True,
        draw=partial(_overlapping, BOTH, 2),
    ),
    Problem(
        "equal-variables",
        "Two variables along orthogonal directions are equal in every input. Only the expected output tells which "
        "direction is to be swapped. The search starts half way between the two, and the IIA on validation rises only "
        "near the right one: the search goes on because its loss falls.",
        interchangeable=True,
        draw=_equal,
    ),
    _negative(
        "one-hot-code",
        "One network holds a on a line, the other along an axis for each value. From the first into the second, a line "
        "comes near two axes at most.",
        partial(_other_code, "one-hot"),
        _code_ceiling("one-hot"),
    ),
    _negative(
        "thermometer-code",
        "One network holds a on a line, the other as a number of units that are on. From the first into the second, a "
        "line comes near few corners of that path.",
        partial(_other_code, "thermometer"),
        _code_ceiling("thermometer"),
    ),
    _negative(
        "permuted-values",
        f"Both networks hold a on a line, one of them in the order {', '.join(map(str, ORDER))}. One line through the "
        "pairs of levels comes near few of them.",
        _permuted,
        affine_ceiling(_LEVELS, _LEVELS[list(ORDER)], TOLERANCE),
    ),
    _negative(
        "input-route",
        "The readout learns a from the input, and the state does not hold it: a row is right only if source and target "
        "have the same value, as with nothing swapped.",
        partial(_around_the_state, "input"),
        1 / VALUES,
        expected={EXCESS: 0.0},
    ),
    _negative(
        "unused-code",
        "The state holds a on a line, so that it can be decoded, but the readout learns it from the input. What "
        "nothing reads changes no answer.",
        partial(_around_the_state, "unused"),
        1 / VALUES,
        expected={EXCESS: 0.0},
    ),
)
"""The problems."""
