"""The declarations and the outcomes of single comparisons."""

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
        """The fingerprint of the networks and the data."""

    @property
    def key(self) -> str:
        """The name of the outcome's file: a hash of the declaration with its defaults, the fingerprint and the code."""
        declared = f"{self.model_dump_json()} {self.fingerprint} {source_hash()}"
        return hashlib.sha256(declared.encode()).hexdigest()[:24]


@lru_cache(maxsize=1024)
def _site_fingerprint(reference: str, with_task: bool) -> str:
    """Return the fingerprint of a site's network or recording, followed by that of its task's data."""
    site = open_site(reference, with_task=with_task)
    data = "" if not with_task else Counterfactuals.from_task(site, n_train=1, n_validation=1, n_test=1).fingerprint
    return f"{site.fingerprint} {data}"


class AlignmentPoint(_Declaration):
    """The declaration of an alignment, with controls if its spec has them."""

    kind: Literal["alignment"] = "alignment"
    spec: AlignmentSpec

    @property
    def fingerprint(self) -> str:
        """The fingerprints of the sites, followed by that of the rows if they are from a table."""
        own = self.spec.data is not None
        sites = [_site_fingerprint(reference, not own) for reference in self.spec.sites]
        return " ".join([*sites, self.spec.data.fingerprint] if self.spec.data else sites)

    @property
    def without_controls(self) -> "AlignmentPoint":
        """The same alignment without controls."""
        return self.model_copy(update={"spec": self.spec.replace(controls=False)})

    def run(self, callback: Callback = silent) -> "AlignmentOutcome":
        """Search for the maps, score them, and score the controls if the spec has them.

        Args:
            callback: A function that is called with every progress update.

        Raises:
            CausalignError: The alignment cannot be run.
        """
        if self.spec.controls:
            return self.with_controls(self.without_controls.run(callback), callback)
        began = time.perf_counter()
        data = self.spec.dataset(self.spec.open_sites())
        record = align(data, self.spec.config, callbacks=[callback]).record
        return AlignmentOutcome(point=self, record=record, seconds=time.perf_counter() - began)

    def with_controls(self, found: "AlignmentOutcome", callback: Callback = silent) -> "AlignmentOutcome":
        """Score the controls, and add them to an outcome without controls.

        Args:
            found: The outcome of the same alignment without controls.
            callback: A function that is called with every progress update.

        Raises:
            CausalignError: The controls cannot be run.
        """
        began, record = time.perf_counter(), found.record
        data = self.spec.dataset(self.spec.open_sites())
        controls = controls_of(data, self.spec.config.replace(rank=record.rank), record.steps, callback)
        seconds = time.perf_counter() - began
        record = record.model_copy(update={"controls": controls})
        return AlignmentOutcome(point=self, record=record, seconds=found.seconds, control_seconds=seconds)


class SimilarityPoint(_Declaration):
    """The declaration of the correlational measures of two sites (appendices A.3 and A.4).

    Apart from `sites`, the fields are the arguments of `compare`.
    """

    kind: Literal["similarity"] = "similarity"
    sites: tuple[str, str]
    seed: int = 0
    draws: int = 10
    samples: int = 1000
    trials_each: int = 15

    @property
    def fingerprint(self) -> str:
        """The fingerprints of the two sites."""
        return " ".join(_site_fingerprint(reference, True) for reference in self.sites)

    def run(self, _: Callback = silent) -> "SimilarityOutcome":
        """Compute the correlational measures.

        Raises:
            CausalignError: A site cannot be opened, or the sites cannot be compared.
        """
        began = time.perf_counter()
        a, b = (open_site(reference) for reference in self.sites)
        table = compare(a, b, seed=self.seed, draws=self.draws, samples=self.samples, trials_each=self.trials_each)
        measures = dict(zip(table["measure"], table["value"], strict=True))
        return SimilarityOutcome(point=self, measures=measures, seconds=time.perf_counter() - began)


class AlignmentOutcome(_Point):
    """The outcome of a finished alignment."""

    kind: Literal["alignment"] = "alignment"
    point: AlignmentPoint
    """The declaration."""
    record: AlignmentSummary
    seconds: float
    """The duration of the alignment in seconds, without the controls."""
    control_seconds: float = 0.0
    """The duration of the controls in seconds."""


class SimilarityOutcome(_Point):
    """The outcome of finished correlational measures."""

    kind: Literal["similarity"] = "similarity"
    point: SimilarityPoint
    """The declaration."""
    measures: dict[str, float]
    """The value of each measure, by its name."""
    seconds: float
    """The duration in seconds."""


Comparison = Annotated[AlignmentPoint | SimilarityPoint, Field(discriminator="kind")]
Outcome = Annotated[AlignmentOutcome | SimilarityOutcome, Field(discriminator="kind")]
