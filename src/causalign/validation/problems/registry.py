"""The problems by name."""

from collections.abc import Mapping

from causalign.validation.problem import Problem
from causalign.validation.problems import addition, phonemes, tracr

PROBLEMS: Mapping[str, Problem] = {
    problem.name: problem
    for problem in (
        *tracr.PROBLEMS,
        *addition.PROBLEMS,
        *phonemes.PROBLEMS,
    )
}
"""The problems by name, in the order of the page."""
