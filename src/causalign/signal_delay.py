"""A delay of the signals that end a program, so that work in hand is finished and its state is written first."""

import signal
import threading
from types import FrameType, TracebackType
from typing import Any

_ENDING = (signal.SIGINT, signal.SIGTERM)


class SignalDelay:
    """A context in which Ctrl-C (SIGINT) and SIGTERM wait until `release`, or until the context ends.

    A signal that waited is then raised again, and does what it did before the context. The same signal does so at once
    when it comes for the second time. Another one waits as well: where Ctrl-C reaches a program and its workers, the
    program may go on to terminate them.
    Signals that are ignored stay ignored. Python delivers signals to the main thread only: in others nothing waits.
    """

    def __init__(self) -> None:
        self.waiting: int | None = None
        """The number of the signal that waits."""
        self._received: set[int] = set()
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "SignalDelay":
        if threading.current_thread() is threading.main_thread():
            self._install()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._restore()
        if self.waiting is not None:
            signal.raise_signal(self.waiting)

    def release(self) -> None:
        """Raise the signal that waits, if there is one. Where that does not end the program, later ones wait again."""
        if self.waiting is None:
            return
        number, self.waiting = self.waiting, None
        self._received.clear()
        self._restore()
        signal.raise_signal(number)
        self._install()

    def _install(self) -> None:
        for number in _ENDING:
            handler = signal.getsignal(number)
            if handler not in (signal.SIG_IGN, None):  # None: a handler that is not Python's
                self._before[number] = signal.signal(number, self._receive)

    def _restore(self) -> None:
        while self._before:
            signal.signal(*self._before.popitem())

    def _receive(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 (every handler is called so)
        if number not in self._received:
            self._received.add(number)
            self.waiting = self.waiting or number
            return
        self.waiting = None
        self._restore()
        signal.raise_signal(number)
