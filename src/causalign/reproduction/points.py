"""What studies are made of: declarations of single comparisons, and what comes of them."""

import hashlib
import time
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from causalign.alignment.align import align, controls_of
from causalign.alignment.schema import AlignmentSummary
from causalign.alignment.spec import AlignmentSpec
from causalign.callbacks import Callback, silent
from causalign.scoring.comparison import compare
from causalign.sites.uri import open_site
from causalign.version import __version__


class _Point(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    @property
    def key(self) -> str:
        """The name of its file: a hash of what is declared beyond the defaults, and of the version it is run with."""
        return hashlib.sha256(f"{__version__} {self.model_dump_json(exclude_defaults=True)}".encode()).hexdigest()[:24]


class AlignmentPoint(_Point):
    """An alignment, and its controls if the spec asks for them."""

    kind: Literal["alignment"] = "alignment"
    spec: AlignmentSpec

    @property
    def alone(self) -> "AlignmentPoint":
        """The same without its controls."""
        return self.model_copy(update={"spec": self.spec.replace(controls=False)})

    def run(self, listener: Callback = silent) -> "AlignmentOutcome":
        """Search, and score the controls beside what is found."""
        if self.spec.controls:
            return self.beside(self.alone.run(listener), listener)
        began = time.perf_counter()
        data = self.spec.dataset(self.spec.open_sites())
        record = align(data, self.spec.config, callbacks=[listener]).record
        return AlignmentOutcome(asked=self, record=record, seconds=time.perf_counter() - began)

    def beside(self, found: "AlignmentOutcome", listener: Callback = silent) -> "AlignmentOutcome":
        """What was found without them, and the controls beside it."""
        began, record = time.perf_counter(), found.record
        data = self.spec.dataset(self.spec.open_sites())
        controls = controls_of(data, self.spec.config.replace(rank=record.rank), record.steps, listener)
        seconds = time.perf_counter() - began
        record = record.model_copy(update={"controls": controls})
        return AlignmentOutcome(asked=self, record=record, seconds=found.seconds, control_seconds=seconds)


class SimilarityPoint(_Point):
    """The correlational measures of two sites (appendices A.3 and A.4)."""

    kind: Literal["similarity"] = "similarity"
    sites: tuple[str, str]
    seed: int = 0
    draws: int = 10
    samples: int = 1000
    trials_each: int = 15

    def run(self, _: Callback = silent) -> "SimilarityOutcome":
        """Measure them."""
        began = time.perf_counter()
        a, b = (open_site(reference) for reference in self.sites)
        table = compare(a, b, self.seed, self.draws, self.samples, self.trials_each)
        measures = dict(zip(table["measure"], table["value"], strict=True))
        return SimilarityOutcome(asked=self, measures=measures, seconds=time.perf_counter() - began)


class AlignmentOutcome(_Point):
    """A finished alignment."""

    kind: Literal["alignment"] = "alignment"
    asked: AlignmentPoint
    record: AlignmentSummary
    seconds: float
    """Without the controls."""
    control_seconds: float = 0.0


class SimilarityOutcome(_Point):
    """Finished correlational measures."""

    kind: Literal["similarity"] = "similarity"
    asked: SimilarityPoint
    measures: dict[str, float]
    seconds: float


Comparison = Annotated[AlignmentPoint | SimilarityPoint, Field(discriminator="kind")]
Outcome = Annotated[AlignmentOutcome | SimilarityOutcome, Field(discriminator="kind")]
