"""The problems by name."""

from collections.abc import Mapping

from causalign.validation.problem import Problem
from causalign.validation.problems import addition, phonemes, tracr
from causalign.validation.problems.adder import ADDERS
from causalign.validation.problems.counter import COUNTER
from causalign.validation.problems.hierarchical_equality import EQUALITY
from causalign.validation.problems.known_codes import KNOWN_CODES
from causalign.validation.problems.planted_rotation import PLANTED

PROBLEMS: Mapping[str, Problem] = {
    problem.name: problem
    for problem in (
        *PLANTED,
        COUNTER,
        *KNOWN_CODES,
        EQUALITY,
        *ADDERS,
        *tracr.PROBLEMS,
        *addition.PROBLEMS,
        *phonemes.PROBLEMS,
    )
}
"""The problems by name, in the order of the page."""
