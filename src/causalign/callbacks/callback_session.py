"""The callbacks of one call: the display, the log, and those of the user."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

from causalign.callbacks.log import LogTracker
from causalign.callbacks.progress_display import progress_display
from causalign.callbacks.tracker import Conclude, tracker_runs
from causalign.callbacks.update import Callback, chain, silent
from causalign.errors import InvalidArgument


@contextmanager
def open_callbacks(
    progress: bool, callbacks: Sequence[Callback], configuration: Mapping[str, Any]
) -> Iterator[tuple[Callback, Conclude]]:
    """Open the display and start the trackers, and close them all where the context ends.

    Args:
        progress: Whether to show progress.
        callbacks: The callbacks of the user.
        configuration: The configuration that trackers get, as JSON would have it.

    Yields:
        One callback for the display, the log and the user's callbacks; and a function that takes the final scores, and
        why the call stopped.

    Raises:
        InvalidArgument: `callbacks` is a function.
    """
    if callable(callbacks):
        raise InvalidArgument("callbacks is a list of functions, found a function: give it as callbacks=[function]")
    everyone: list[Callback] = [LogTracker(), *callbacks]
    shown = progress_display() if progress else nullcontext(silent)
    with tracker_runs(everyone, configuration) as conclude, shown as display:
        yield chain([display, *everyone]), conclude
