"""The command line. Wrong input is one line on the standard error and exit code 2."""

import sys

from causalign.cli._show import complain
from causalign.cli.commands import app
from causalign.errors import CausalignError

__all__ = ["app", "main"]


def main() -> None:
    """Run the command that the arguments name."""
    try:
        app()
    except CausalignError as error:
        complain(error)
        sys.exit(2)
