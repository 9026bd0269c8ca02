"""The command line. Wrong input is reported in one line on the standard error, with exit code 2.

The overview and the version are shown without the import of a heavy library.
"""

import os
import sys
import textwrap

from causalign.version import __version__

__all__ = ["COMMANDS", "main"]

COMMANDS = {
    "quickstart": "Compare two pairs of shipped networks, of which RSA and CKA say nearly the same, and MAS does not.",
    "align": "Align networks: find subspaces that can be interchanged, and score every direction.",
    "sweep": "Align over a grid of sites, ranks, seeds and methods, and go on after it was stopped.",
    "estimate": "Estimate the operations, memory, disk space and seconds of an alignment before it is run.",
    "score": "Score a saved alignment on other data, or on networks in the place of recordings.",
    "compare": "Compare two or more sites by RSA, CKA and Procrustes distance.",
    "train": "Train a network until it makes no mistakes. Repeat the command to resume a stopped training.",
    "zoo": "List the trained networks that ship with the package.",
    "report": "Redraw the figures and the report of a saved alignment.",
    "reproduce": "Reproduce the paper's figures: a table beside the paper's numbers, verdicts, plots and a report.",
    "validate": "Run problems with known answers, and measure how often the verdict on a score is wrong.",
    "bench": "Measure speed on this machine, as ratios to references that run in turn.",
    "schema": "Print the JSON schema of the specs that align and estimate read.",
}
"""The commands, each with a line of help."""


_OVERVIEW = """Usage: causalign [OPTIONS] COMMAND [ARGS]...

  Compare neural networks by what their representations do.

Options:
  --version   Show the version and exit.
  --help      Show this message and exit.

Commands:
{}

Run 'causalign COMMAND --help' for the options of a command."""


def main() -> None:
    """Run the command that the arguments name, and exit with its code."""
    try:
        code = _overview() if set(sys.argv[1:2]) <= {"--help", "--version"} else _run()
        sys.stdout.flush()
    except BrokenPipeError:  # whoever reads, such as head, has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    sys.exit(code)


def _overview() -> int:
    """Print the version, or the list of commands."""
    if sys.argv[1:] == ["--version"]:
        print(f"causalign {__version__}")
        return 0
    commands = [
        textwrap.fill(f"{name:<11} {text}", 80, initial_indent="  ", subsequent_indent=14 * " ")
        for name, text in COMMANDS.items()
    ]
    print(_OVERVIEW.format("\n".join(commands)))
    return 0


def _run() -> int:
    import typer

    from causalign.cli.application import application
    from causalign.cli.tables import complain
    from causalign.cli.termination import INTERRUPTED
    from causalign.errors import CausalignError

    try:
        return int(application(sys.argv[1] if sys.argv[1:] else None)(standalone_mode=False) or 0)
    except CausalignError as error:
        complain(error)
    except typer.Abort:
        return INTERRUPTED
    except Exception as error:
        if not hasattr(error, "format_message"):  # only typer's errors about wrong options have it
            raise
        complain(error.format_message())
    return 2
