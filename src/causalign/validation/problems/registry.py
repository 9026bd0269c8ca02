"""The problems by name."""

from collections.abc import Mapping

from causalign.validation.problem import Problem

PROBLEMS: Mapping[str, Problem] = {problem.name: problem for problem in ()}
"""The problems by name, in the order of the page."""
