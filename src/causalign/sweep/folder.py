"""The folder of a sweep.

| entry | content |
| --- | --- |
| `sweep.json` | the declaration of the sweep, and the coordinates of every point |
| `points/KEY/` | the results of a finished point |
| `points/.KEY/` | a point that is being run, or was stopped: its checkpoint |
| `failed/KEY.json` | the error of a point that failed |
| `readings/` | activations that the points share; it may be deleted |
| `slurm/` | the logs of SLURM's jobs, and what is sent to them; it may be deleted |
| `table.csv`, `report.html` | the table and the page |

A point is finished when its folder has its name: the folder is renamed when everything is in it.
"""

import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from causalign.errors import FileFormatError, InvalidArgument
from causalign.files import output_folder, write_text
from causalign.sweep.point import Outcome, read_outcome

DECLARATION, TABLE, PAGE, READINGS = "sweep.json", "table.csv", "report.html", "readings"
_POINTS, _FAILED, _LOCK = "points", "failed", ".lock"
_PATIENCE = 2.0  # seconds in which another process may look whether this one holds a lock


@dataclass(frozen=True)
class Failure:
    """The error of a point that failed."""

    message: str
    """The error in one line."""
    traceback: str = ""
    """Where it was raised, for an error that is none of causalign's own."""


class SweepFolder:
    """The folder of a sweep, in which its points are found by their keys."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)

    def create(self) -> "SweepFolder":
        """Create the folder, check that it can be written, and return it.

        Raises:
            FileFormatError: It cannot be written.
        """
        for path in (self.path, self.path / _POINTS, self.path / _FAILED):
            output_folder(path)
        output_folder(self.path, DECLARATION, TABLE, PAGE)
        return self

    def point(self, key: str) -> Path:
        """Return the folder of a finished point."""
        return self.path / _POINTS / key

    def unfinished(self, key: str) -> Path:
        """Return the folder of a point while it is run."""
        return self.path / _POINTS / f".{key}"

    def finish(self, key: str) -> None:
        """Give the folder of a point the name of a finished one, and forget an earlier failure.

        Hidden files in it are what runs that were killed left half-written. They are deleted.

        Raises:
            FileFormatError: The folder cannot be renamed.
        """
        try:
            for left in self.unfinished(key).glob(".*"):
                left.unlink()
            if self.point(key).exists():  # its result was broken
                shutil.rmtree(self.point(key))
            self.unfinished(key).rename(self.point(key))
            self._failure(key).unlink(missing_ok=True)
        except OSError as error:
            raise FileFormatError(f"cannot write {self.point(key)}: {error.strerror or error}") from None

    def outcome(self, key: str) -> Outcome | None:
        """Return what a point found, or `None` if it is not finished or its result is broken."""
        return read_outcome(self.point(key))

    def fail(self, key: str, failure: Failure) -> None:
        """Write down that a point failed.

        Raises:
            FileFormatError: The file cannot be written.
        """
        write_text(self._failure(key), json.dumps(failure.__dict__, indent=1) + "\n")

    def failure(self, key: str) -> Failure | None:
        """Return the error of a point at its last run, or `None` if it did not fail."""
        try:
            return Failure(**json.loads(self._failure(key).read_bytes()))
        except (OSError, ValueError, TypeError):
            return None

    def _failure(self, key: str) -> Path:
        return self.path / _FAILED / f"{key}.json"

    @contextmanager
    def locked(self, shard: "Shard") -> Iterator[None]:
        """Hold the folder against other processes: against all or, for a shard, against runs of the same or of all.

        Raises:
            InvalidArgument: Another process is at work in the folder.
        """
        with ExitStack() as held:
            held.enter_context(self._lock(shard.lock))
            others = [_LOCK] if shard.count > 1 else sorted(p.name for p in self.path.glob(f"{_LOCK}-*"))
            for other in others:
                with self._lock(other):
                    pass
            yield

    @contextmanager
    def _lock(self, name: str) -> Iterator[None]:
        try:
            with FileLock(self.path / name, timeout=_PATIENCE):
                yield
        except Timeout:
            which = f" on shard {name.removeprefix(f'{_LOCK}-')}" if name != _LOCK else ""
            raise InvalidArgument(
                f"another process is at work in {self.path}{which}: wait until it has ended, or name another --out"
            ) from None
        except OSError as error:
            raise FileFormatError(f"cannot lock {self.path / name}: {error.strerror or error}") from None


@dataclass(frozen=True)
class Shard:
    """A part of the points of a sweep: every `count`-th, from the one with this `index` on."""

    index: int = 1
    count: int = 1

    @classmethod
    def parse(cls, text: str) -> "Shard":
        """Return the shard that is written as `I/N`, such as `1/4` to `4/4`.

        Raises:
            InvalidArgument: It is written otherwise, or there is no such shard.
        """
        index, _, count = text.partition("/")
        if not (index.isascii() and index.isdigit() and count.isascii() and count.isdigit()):
            raise InvalidArgument(f"a shard is written I/N, such as 1/4, found {text!r}")
        if not 1 <= int(index) <= int(count):
            raise InvalidArgument(f"the shards of {count} are 1/{count} to {count}/{count}, found {text}")
        return cls(int(index), int(count))

    @property
    def lock(self) -> str:
        """The name of the file that a process at work on the shard locks."""
        return _LOCK if self.count == 1 else f"{_LOCK}-{self.index}-of-{self.count}"

    def of(self, keys: Sequence[str]) -> list[str]:
        """Return the keys of this shard."""
        return list(keys[self.index - 1 :: self.count])
