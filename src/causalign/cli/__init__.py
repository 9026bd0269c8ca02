"""The command line. Wrong input is one line on the standard error and exit code 2."""

import sys

import typer

from causalign.cli.commands import INTERRUPTED, app
from causalign.cli.tables import complain
from causalign.errors import CausalignError

__all__ = ["app", "main"]


def main() -> None:
    """Run the command that the arguments name."""
    try:
        code = app(standalone_mode=False)
    except CausalignError as error:
        complain(error)
        code = 2
    except typer.Abort:
        code = INTERRUPTED
    except Exception as error:
        if not hasattr(error, "format_message"):  # what typer says of wrong options
            raise
        complain(error.format_message())
        code = 2
    sys.exit(code)
