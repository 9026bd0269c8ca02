"""What studies are made of: declarations of single comparisons, and what comes of them."""

import hashlib
import time
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from causalign._progress import Listener, silent
from causalign._version import __version__
from causalign.alignment import AlignSpec, Record
from causalign.evaluation import compare
from causalign.sites import open_site


class _Declared(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    @property
    def key(self) -> str:
        """The name of its file: a hash of what is declared beyond the defaults, and of the version it is run with."""
        return hashlib.sha256(f"{__version__} {self.model_dump_json(exclude_defaults=True)}".encode()).hexdigest()[:24]


class Aligned(_Declared):
    """An alignment at the best of some ranks, and its controls if the spec asks for them."""

    kind: Literal["alignment"] = "alignment"
    spec: AlignSpec
    ranks: tuple[int, ...]
    """Tried in turn; that which is best on validation counts."""
    contented: float = 1.0
    """The worst IIA on validation at which no further rank is tried, where it is that which is chosen by."""

    @property
    def alone(self) -> "Aligned":
        """The same without its controls."""
        return self.model_copy(update={"spec": self.spec.model_copy(update={"controls": False})})

    def run(self, listener: Listener = silent) -> "AlignedOutcome":
        """Search at each rank, and score the controls of the best."""
        if self.spec.controls:
            return self.beside(self.alone.run(listener), listener)
        began, best, sites = time.perf_counter(), None, self.spec.open()
        for rank in self.ranks:
            record = self._at(rank).align(sites, listener).record
            if best is None or record.best.better_than(best.best):
                best = record
            if record.best.validation_loss is None and (record.best.worst_iia or 0.0) >= self.contented:
                break
        assert best is not None  # there is a rank
        return AlignedOutcome(asked=self, record=best, seconds=time.perf_counter() - began)

    def beside(self, found: "AlignedOutcome", listener: Listener = silent) -> "AlignedOutcome":
        """What was found without them, and the controls beside it."""
        began, record = time.perf_counter(), found.record
        controls = self._at(record.rank).controls_of(self.spec.open(), record.steps, listener)
        seconds = time.perf_counter() - began
        record = record.model_copy(update={"controls": controls})
        return AlignedOutcome(asked=self, record=record, seconds=found.seconds, control_seconds=seconds)

    def _at(self, rank: int) -> AlignSpec:
        return self.spec.model_copy(update={"rank": rank, "controls": False})


class Compared(_Declared):
    """The correlational measures of two sites (appendices A.3 and A.4)."""

    kind: Literal["similarity"] = "similarity"
    sites: tuple[str, str]
    seed: int = 0
    draws: int = 10
    samples: int = 1000
    trials_each: int = 15

    def run(self, listener: Listener = silent) -> "ComparedOutcome":
        """Measure them."""
        del listener
        began = time.perf_counter()
        a, b = (open_site(reference) for reference in self.sites)
        table = compare(a, b, self.seed, self.draws, self.samples, self.trials_each)
        measures = dict(zip(table["measure"], table["value"], strict=True))
        return ComparedOutcome(asked=self, measures=measures, seconds=time.perf_counter() - began)


class AlignedOutcome(_Declared):
    """A finished alignment."""

    kind: Literal["alignment"] = "alignment"
    asked: Aligned
    record: Record
    seconds: float
    """Of all ranks that were tried, without the controls."""
    control_seconds: float = 0.0


class ComparedOutcome(_Declared):
    """Finished correlational measures."""

    kind: Literal["similarity"] = "similarity"
    asked: Compared
    measures: dict[str, float]
    seconds: float


Comparison = Annotated[Aligned | Compared, Field(discriminator="kind")]
Outcome = Annotated[AlignedOutcome | ComparedOutcome, Field(discriminator="kind")]
