"""The command line. Wrong input is one line on the standard error and exit code 2.

What only shows help or the version imports no library that computes.
"""

import sys

import click

from causalign.version import __version__

__all__ = ["COMMANDS", "main"]

COMMANDS = {
    "quickstart": "Compare two shipped GRUs that learnt to count: MAS, RSA and CKA, in the terminal and on a page.",
    "align": "Align networks: find the subspaces that can be interchanged, and score every direction.",
    "estimate": "Estimate what an alignment takes, before it is run: operations, memory, disk and seconds.",
    "score": "Score a saved alignment on other data, or on networks that can be run after all.",
    "compare": "Compare two sites by RSA, CKA and Procrustes distance.",
    "train": "Train a network until it makes no mistake. A stopped training goes on when the command is repeated.",
    "zoo": "List the trained networks that come with the project.",
    "report": "Draw the figures and the page of a saved alignment again.",
    "reproduce": "Run the paper's figures again: a table with its numbers beside ours, verdicts, figures and a page.",
    "bench": "Measure how fast it is: every row a ratio to something that runs beside it, on this machine.",
    "schema": "Print the JSON schema of the specs that align and estimate take.",
}
"""The commands, and what each does in a line."""


def main() -> None:
    """Run the command that the arguments name."""
    sys.exit(_overview() if set(sys.argv[1:2]) <= {"--help", "--version"} else _run())


def _overview() -> int:
    """Show the version, or what commands there are."""
    if sys.argv[1:] == ["--version"]:
        print(f"causalign {__version__}")
        return 0
    commands = {name: click.Command(name, help=text, short_help=text) for name, text in COMMANDS.items()}
    about = "Compare neural networks by what their representations do."
    group = click.Group("causalign", commands, help=about, params=[click.Option(["--version"], is_flag=True)])
    print(group.get_help(click.Context(group, info_name="causalign")))
    return 0


def _run() -> int:
    import typer

    from causalign.cli.commands import INTERRUPTED, app
    from causalign.cli.tables import complain
    from causalign.errors import CausalignError

    try:
        return int(app(standalone_mode=False) or 0)
    except CausalignError as error:
        complain(error)
    except typer.Abort:
        return INTERRUPTED
    except Exception as error:
        if not hasattr(error, "format_message"):  # what typer says of wrong options
            raise
        complain(error.format_message())
    return 2
