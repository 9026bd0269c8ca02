"""The connection to a Ray cluster."""

import logging
import re
import signal
import socket
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from causalign.errors import InvalidArgument
from causalign.sweep.workers import cores

_KNOCK, _ANSWER = 5.0, 20.0  # seconds until a machine must accept a connection, and Ray on it must answer


def check_address(address: str) -> None:
    """Check that a Ray cluster answers at an address. Ray itself would wait for minutes, and then end the program.

    Args:
        address: `HOST:PORT`, or `auto`.

    Raises:
        InvalidArgument: The address is written otherwise, or nothing answers.
    """
    if address != "auto":
        host, _, port = address.rpartition(":")
        if not host or "/" in host or not port.isdigit():
            raise InvalidArgument(f"the address of a Ray cluster is HOST:PORT or auto, found {address!r}")
        try:
            socket.create_connection((host, int(port)), timeout=_KNOCK).close()
        except (OSError, OverflowError) as error:
            raise _unanswered(address, str(error)) from None
    command = [sys.executable, "-m", "ray.scripts.scripts", "status", "--address", address]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_ANSWER, check=False)
    except subprocess.TimeoutExpired:
        raise _unanswered(address, f"no answer in {_ANSWER:.0f} seconds") from None
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines()
        raise _unanswered(address, _reason(lines[-1]) if lines else f"exit code {done.returncode}")


def _reason(line: str) -> str:
    """Return the first sentence of an error, without its class."""
    return re.sub(r"^[\w.]+: ", "", line.strip()).partition(". ")[0]


def _unanswered(address: str, reason: str) -> InvalidArgument:
    return InvalidArgument(
        f"no Ray cluster answers at {address} ({reason}): start one by `ray start --head`, which prints its address"
    )


@contextmanager
def connection(ray: Any, address: str | None) -> Iterator[None]:
    """Open a context with a connection to a cluster. One that the program has already is left open.

    Args:
        ray: The module `ray`.
        address: The address of the cluster. `None` starts one on this machine.

    Raises:
        InvalidArgument: The connection is refused.
    """
    if ray.is_initialized():
        yield
        return
    _connect(ray, address)
    try:
        yield
    finally:
        ray.shutdown()


def _connect(ray: Any, address: str | None) -> None:
    where: dict[str, Any] = {"num_cpus": cores(), "include_dashboard": False} if address is None else {}
    before = signal.getsignal(signal.SIGTERM) if threading.current_thread() is threading.main_thread() else None
    try:
        with warnings.catch_warnings(action="ignore", category=FutureWarning):  # of Ray about its own defaults
            ray.init(address=address or "local", log_to_driver=False, logging_level=logging.ERROR, **where)
    except (OSError, RuntimeError, ValueError) as error:
        raise InvalidArgument(f"no connection to Ray at {address}: {str(error).partition(chr(10))[0]}") from None
    finally:
        if before is not None:
            signal.signal(signal.SIGTERM, before)  # Ray's own would end the program with another exit code
