"""Known answers: problems whose networks, and so whose variables and subspaces, are known beforehand."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float

from causalign.alignment.result import Alignment
from causalign.counterfactuals.dataset import Counterfactuals

Frames = Mapping[str, Float[np.ndarray, "_ _"]]
"""The true subspace of each variable in one network, as orthonormal columns `[width, dimensions]`, by its name."""


@dataclass(frozen=True)
class Case:
    """A problem with drawn networks and rows.

    Attributes:
        data: The counterfactual dataset.
        fields: The fields of the alignment's configuration: `rank`, `method`, `search`, ...
        frames: The true subspaces of each site. Empty where they are not known.
        ceiling: The largest IIA that the worst direction can have, where it is known; 1 if the networks can be
            interchanged.
        checks: Further numbers by what they measure, computed from the alignment: the error of a map against the
            rotation that is known, for example.
    """

    data: Counterfactuals
    fields: Mapping[str, Any]
    frames: tuple[Frames, ...] = ()
    checks: Callable[[Alignment], Mapping[str, float]] | None = None
    ceiling: float | None = None


@dataclass(frozen=True)
class Problem:
    """A problem whose answer is known.

    Attributes:
        name: Its name, such as `planted-rotation`.
        statement: What the networks are, and why the answer is what it is, in one or two sentences.
        interchangeable: The answer: whether the variable can be interchanged in every direction.
        draw: The case of a seed.
        ceiling: The largest IIA that the worst direction can have, where it is known; 1 if the answer is yes.
        expected: What the checks of a case come to, by name: the largest value that counts as right.
        requires: The packages that must be installed, which the extra `validation` has.
    """

    name: str
    statement: str
    interchangeable: bool
    draw: Callable[[int], Case]
    ceiling: float | None = None
    expected: Mapping[str, float] = field(default_factory=dict)
    requires: tuple[str, ...] = ()
