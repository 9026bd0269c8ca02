"""Points that end their worker, in a module of their own so that workers can import it."""

import os
import signal
from dataclasses import dataclass
from pathlib import Path

from causalign.callbacks import Callback, silent
from causalign.errors import InvalidArgument
from causalign.files import atomic_write
from causalign.sweep.point import Point, SharedCache, SimilarityMeasures


@dataclass(frozen=True)
class Deadly(Point):
    """A point whose worker is killed while it writes a file, or that fails with an error."""

    name: str
    kills: int = 0
    """How many times it kills its worker. A file in the working folder of the point counts them."""
    error: str = ""

    @property
    def members(self) -> tuple[str, ...]:
        return (self.name,)

    @property
    def declaration(self) -> str:
        return repr((self.name, self.kills, self.error))

    def run(self, folder: Path, callback: Callback = silent, cache: SharedCache | None = None) -> None:
        count = folder / "kills"
        killed = int(count.read_text()) if count.exists() else 0
        if killed < self.kills:
            count.write_text(str(killed + 1))
            with atomic_write(folder / "similarity.json"):
                os.kill(os.getpid(), signal.SIGKILL)
        if self.error == "bug":
            raise ZeroDivisionError(self.error)
        if self.error:
            raise InvalidArgument(self.error)
        found = SimilarityMeasures(measures={"worth": 1.0}, seconds=0.0)
        (folder / "similarity.json").write_text(found.model_dump_json())
