"""The application of the command line. A command does not wait for the imports of others."""

from functools import cache
from importlib import import_module

import typer

from causalign.cli import COMMANDS
from causalign.cli.commands import app

_OWN_FILES = ("bench", "quickstart", "reproduce", "sweep", "validate")
"""The commands that have files of their own. Each file is imported only for its command."""


def application(command: str | None = None) -> typer.Typer:
    """Return the application with a command. By default, and if there is no such command, it has all."""
    for name in _OWN_FILES:
        if command == name or command not in COMMANDS:
            _add(name)
    return app


@cache
def _add(name: str) -> None:
    command = getattr(import_module(f"causalign.cli.{name}"), name)
    app.command(help=COMMANDS[name])(command)
