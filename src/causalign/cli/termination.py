"""Termination by SIGTERM, as schedulers send it, as an exception beside that of Ctrl-C."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

INTERRUPTED, TERMINATED = 128 + signal.SIGINT, 128 + signal.SIGTERM
"""The exit codes of a command that Ctrl-C or SIGTERM has ended, as shells have them."""


class Termination(KeyboardInterrupt):
    """SIGTERM came."""


@contextmanager
def termination() -> Iterator[None]:
    """A context in which SIGTERM raises `Termination`."""

    def terminate(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 (every handler is called so)
        raise Termination

    before = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def exit_code(interruption: KeyboardInterrupt) -> int:
    """Return the exit code of a command that was ended."""
    return TERMINATED if isinstance(interruption, Termination) else INTERRUPTED
