"""The application of the command line. It imports what the command needs that is run, and no other."""

from functools import cache
from importlib import import_module

import typer

from causalign.cli import COMMANDS
from causalign.cli.commands import app

_OWN_FILES = ("bench", "reproduce", "sweep", "validate")
"""The commands of a file of their own, whose imports no other command has to wait for."""


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
