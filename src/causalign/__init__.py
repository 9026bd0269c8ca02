"""causalign compares neural networks by what their representations do."""

from causalign import tasks
from causalign._version import __version__
from causalign.errors import CausalignError

__all__ = [
    "CausalignError",
    "__version__",
    "tasks",
]
