"""The protocol of experiment trackers: a callback that also gets the configuration, and the scores at the end."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from types import TracebackType
from typing import Any

from causalign.callbacks.update import Callback, ProgressUpdate
from causalign.errors import MissingDependency


class Tracker(ABC):
    """A callback that follows whole runs: it is started, called with every update, and finished.

    One tracker may follow several runs, one after another. An exception that it raises ends the run, and reaches the
    user.
    """

    @abstractmethod
    def start(self, configuration: Mapping[str, Any]) -> None:
        """Begin a run.

        Args:
            configuration: The configuration of the run, as JSON would have it.
        """

    @abstractmethod
    def __call__(self, update: ProgressUpdate) -> None:
        """Take a progress update."""

    @abstractmethod
    def finish(self, figures: Mapping[str, float], stopped: str) -> None:
        """End the run.

        Args:
            figures: The final scores by name. None where an exception ended the run.
            stopped: Why the run stopped: a `StopReason`, or the name of the exception.
        """


Conclude = Callable[[Mapping[str, float], str], None]
"""A function that takes the final scores of a run, and why it stopped."""


@contextmanager
def tracker_runs(callbacks: Sequence[Callback], configuration: Mapping[str, Any]) -> Iterator[Conclude]:
    """Start a run of every tracker among some callbacks, and finish them all where the context ends.

    Yields:
        A function that takes the final scores, and why the run stopped. Where it is not called, because an exception
        ends the context, the trackers are told of the exception.
    """
    conclusions: list[tuple[Mapping[str, float], str]] = []

    def finisher(tracker: Tracker) -> Callable[..., None]:
        def finish(kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None) -> None:
            failed = kind is not None or not conclusions
            tracker.finish(*(({}, kind.__name__ if kind else "unfinished") if failed else conclusions[0]))

        return finish

    with ExitStack() as stack:
        for tracker in callbacks:
            if isinstance(tracker, Tracker):
                tracker.start(configuration)
                stack.push(finisher(tracker))
        yield lambda figures, stopped: conclusions.append((figures, stopped))


def require_installed(package: str, extra: str) -> None:
    """Check that a tracker's package is installed.

    Raises:
        MissingDependency: It is not.
    """
    if find_spec(package) is None:
        raise MissingDependency(f"this tracker needs {package}: pip install 'causalign[{extra}]'")
