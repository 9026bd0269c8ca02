"""Processes that do not import the script which started them, unless their work is defined in it."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from multiprocessing import get_context, spawn
from multiprocessing.context import SpawnContext, SpawnProcess
from multiprocessing.reduction import ForkingPickler
from typing import Any

_SCRIPT = b"__main__"


class _Process(SpawnProcess):
    """A process that begins without the script."""

    @staticmethod
    def _Popen(process_obj: Any) -> Any:  # noqa: N802 (the name of the standard library)
        with _without_script():
            return SpawnProcess._Popen(process_obj)


class _Context(SpawnContext):
    Process = _Process


def process_context(work: Mapping[str, Any]) -> SpawnContext:
    """Return the context in which processes for some work are started.

    By default a new process runs the script again, up to `if __name__ == "__main__":`, and a script without that line
    would start its work anew in each. Only what is defined in the script, such as a method of the user's, needs that.

    Args:
        work: What is sent to the processes, by any key.
    """
    from_script = any(_SCRIPT in bytes(ForkingPickler.dumps(each)) for each in work.values())  # as they are sent
    return get_context("spawn") if from_script else _Context()


@contextmanager
def _without_script() -> Iterator[None]:
    """Leave the script out of what new processes are told."""
    whole = spawn.get_preparation_data

    def without(name: str) -> dict[str, Any]:
        return {key: value for key, value in whole(name).items() if not key.startswith("init_main")}

    spawn.get_preparation_data = without
    try:
        yield
    finally:
        spawn.get_preparation_data = whole
