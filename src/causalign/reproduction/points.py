"""Single comparisons: their declarations, and their outcomes."""

import hashlib
import time
from abc import ABC, abstractmethod
from functools import lru_cache
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from causalign.alignment.align import align, controls_of
from causalign.alignment.schema import AlignmentSummary
from causalign.alignment.spec import AlignmentSpec
from causalign.callbacks import Callback, silent
from causalign.counterfactuals.dataset import Counterfactuals
from causalign.scoring.comparison import compare
from causalign.sites.uri import open_site
from causalign.source_hash import source_hash


class _Point(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _Declaration(_Point, ABC):
    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """What tells the networks and the data from others."""

    @property
    def key(self) -> str:
        """The name of its file: a hash of the declaration with its defaults, of networks and data, and of the code."""
        declared = f"{self.model_dump_json()} {self.fingerprint} {source_hash()}"
        return hashlib.sha256(declared.encode()).hexdigest()[:24]


@lru_cache(maxsize=1024)
def _site_fingerprint(reference: str, with_task: bool) -> str:
    """The fingerprint of a site's network, or recording, and of its task."""
    site = open_site(reference, with_task=with_task)
    data = "" if not with_task else Counterfactuals.from_task(site, n_train=1, n_validation=1, n_test=1).fingerprint
    return f"{site.fingerprint} {data}"


class AlignmentPoint(_Declaration):
    """An alignment, and its controls if the spec asks for them."""

    kind: Literal["alignment"] = "alignment"
    spec: AlignmentSpec

    @property
    def fingerprint(self) -> str:
        """The fingerprints of the sites and, of a table, of its rows."""
        own = self.spec.data is not None
        sites = [_site_fingerprint(reference, not own) for reference in self.spec.sites]
        return " ".join([*sites, self.spec.data.fingerprint] if self.spec.data else sites)

    @property
    def alone(self) -> "AlignmentPoint":
        """The same without its controls."""
        return self.model_copy(update={"spec": self.spec.replace(controls=False)})

    def run(self, callback: Callback = silent) -> "AlignmentOutcome":
        """Search, and score the controls beside what is found."""
        if self.spec.controls:
            return self.beside(self.alone.run(callback), callback)
        began = time.perf_counter()
        data = self.spec.dataset(self.spec.open_sites())
        record = align(data, self.spec.config, callbacks=[callback]).record
        return AlignmentOutcome(asked=self, record=record, seconds=time.perf_counter() - began)

    def beside(self, found: "AlignmentOutcome", callback: Callback = silent) -> "AlignmentOutcome":
        """What was found without them, and the controls beside it."""
        began, record = time.perf_counter(), found.record
        data = self.spec.dataset(self.spec.open_sites())
        controls = controls_of(data, self.spec.config.replace(rank=record.rank), record.steps, callback)
        seconds = time.perf_counter() - began
        record = record.model_copy(update={"controls": controls})
        return AlignmentOutcome(asked=self, record=record, seconds=found.seconds, control_seconds=seconds)


class SimilarityPoint(_Declaration):
    """The correlational measures of two sites (appendices A.3 and A.4)."""

    kind: Literal["similarity"] = "similarity"
    sites: tuple[str, str]
    seed: int = 0
    draws: int = 10
    samples: int = 1000
    trials_each: int = 15

    @property
    def fingerprint(self) -> str:
        """The fingerprints of the sites."""
        return " ".join(_site_fingerprint(reference, True) for reference in self.sites)

    def run(self, _: Callback = silent) -> "SimilarityOutcome":
        """Measure them."""
        began = time.perf_counter()
        a, b = (open_site(reference) for reference in self.sites)
        table = compare(a, b, seed=self.seed, draws=self.draws, samples=self.samples, trials_each=self.trials_each)
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
