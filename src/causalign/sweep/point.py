"""The points of a sweep: single comparisons by declaration, and what they write into their folders."""

import hashlib
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from causalign.alignment.align import align
from causalign.alignment.alignment_files import RESULT
from causalign.alignment.config import AlignmentConfig
from causalign.alignment.request import dataset_of
from causalign.alignment.schema import AlignmentSummary
from causalign.alignment.spec import AlignmentSpec, on_one_device
from causalign.callbacks import Callback, silent
from causalign.counterfactuals.dataset import Counterfactuals
from causalign.errors import CausalignError
from causalign.files import write_text
from causalign.readings.shared_readings import SharedReadings
from causalign.scoring.comparison import compare
from causalign.sites.readable import Readable
from causalign.sites.site_cache import SITES
from causalign.sites.uri import DESCRIPTION, network_and_place
from causalign.source_hash import source_hash

MEASURES, SPEC = "similarity.json", "spec.json"


@dataclass(frozen=True)
class SharedCache:
    """The cache of activations that the points of a sweep share.

    Attributes:
        folder: The folder of the cache.
        references: The sites of all points. Those of one network are read in one forward pass.
    """

    folder: Path
    references: tuple[str, ...] = ()

    def open(self, references: Sequence[str], with_task: bool) -> SharedReadings:
        """Return the readings of the networks of some sites.

        Args:
            references: The sites.
            with_task: Whether language models read the in-context task.
        """
        networks = {_network(reference) for reference in references}
        sites = []
        for reference in self.references:
            if _network(reference) in networks:
                with suppress(CausalignError):  # the point of this site fails by itself
                    sites.append(SITES.open(reference, with_task=with_task))
        return SharedReadings(self.folder, sites)


def _network(reference: str) -> str:
    return reference if reference.endswith(DESCRIPTION) else network_and_place(reference)[0]


class Point(ABC):
    """A comparison that is run by itself, and writes its results into a folder of its own."""

    @property
    @abstractmethod
    def members(self) -> tuple[str, ...]:
        """The names of the sites that are compared."""

    @property
    @abstractmethod
    def declaration(self) -> str:
        """Everything that the results depend on but the code, as text."""

    @property
    def key(self) -> str:
        """The name of the point's folder: a hash of its declaration and of the code that computes results."""
        return hashlib.sha256(f"{self.declaration} {source_hash()}".encode()).hexdigest()[:24]

    @abstractmethod
    def run(self, folder: Path, callback: Callback = silent, cache: SharedCache | None = None) -> None:
        """Run the comparison, and write its results. A run that was stopped goes on from what the folder holds.

        Args:
            folder: The folder of the results.
            callback: A function that is called with every progress update.
            cache: The cache of activations. By default every point reads for itself.

        Raises:
            CausalignError: It cannot be run, or the folder cannot be written.
        """


@lru_cache(maxsize=1024)
def _site_fingerprint(reference: str, with_task: bool) -> str:
    """Return the fingerprint of a site's network or recording, followed by that of its task's data."""
    site = SITES.open(reference, with_task=with_task)
    data = "" if not with_task else Counterfactuals.from_task(site, n_train=1, n_validation=1, n_test=1).fingerprint
    return f"{site.fingerprint} {data}"


@dataclass(frozen=True)
class AlignmentPoint(Point):
    """An alignment, with its sites and its data by reference."""

    spec: AlignmentSpec

    @property
    def members(self) -> tuple[str, ...]:
        """The references of the sites."""
        return tuple(self.spec.sites)

    @property
    def declaration(self) -> str:
        """The spec with its defaults, and the fingerprints of sites and table."""
        own = self.spec.data is not None
        found = [_site_fingerprint(reference, not own) for reference in self.spec.sites]
        table = [self.spec.data.fingerprint] if self.spec.data else []
        return " ".join(["alignment", self.spec.model_dump_json(), *found, *table])

    def run(self, folder: Path, callback: Callback = silent, cache: SharedCache | None = None) -> None:
        """Align the sites, and save the alignment."""
        sites = on_one_device([SITES.open(each, with_task=self.spec.data is None) for each in self.spec.sites])
        write_text(folder / SPEC, self.spec.model_dump_json(indent=1) + "\n")  # by which the point can be run alone
        readings = None if cache is None else cache.open(self.spec.sites, self.spec.data is None)
        data = self.spec.dataset(sites)
        align(data, self.spec.config, out=folder, overwrite=True, callbacks=[callback], readings=readings)


@dataclass(frozen=True, eq=False)
class LivePoint(Point):
    """An alignment of a dataset, or of sites, that exist in this process."""

    data: Counterfactuals
    config: AlignmentConfig
    companions: tuple[Readable, ...] = ()
    """The sites of all points, which are read in one forward pass where they are of one network."""

    @classmethod
    def of(
        cls,
        data: Counterfactuals | tuple[Readable, ...],
        config: AlignmentConfig,
        companions: Sequence[Readable] = (),
    ) -> "LivePoint":
        """Return the point of a dataset, or of sites.

        Raises:
            InvalidArgument: The configuration does not fit the data.
        """
        drawn = not isinstance(data, Counterfactuals)
        rows = dataset_of(data, config)
        usual = AlignmentConfig()
        unset = {name: getattr(usual, name) for name in ("variable", "n_train", "n_validation", "n_test")}
        return cls(rows, config.replace(**unset) if drawn else config, tuple(companions))

    @property
    def members(self) -> tuple[str, ...]:
        """The names of the sites."""
        return tuple(site.name for site in self.data.sites)

    @property
    def declaration(self) -> str:
        """The configuration with its defaults, and the names and fingerprints of sites and data."""
        sites = [f"{site.name} {site.fingerprint}" for site in self.data.sites]
        return " ".join(["alignment", self.config.model_dump_json(), *sites, self.data.fingerprint])

    def run(self, folder: Path, callback: Callback = silent, cache: SharedCache | None = None) -> None:
        """Align the sites, and save the alignment."""
        readings = None if cache is None else SharedReadings(cache.folder, self.companions)
        align(self.data, self.config, out=folder, overwrite=True, callbacks=[callback], readings=readings)


class SimilarityMeasures(BaseModel):
    """The correlational measures of two sites, as their file has them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["similarity"] = "similarity"
    measures: dict[str, float]
    """The value of each measure, by its name."""
    seconds: float
    """The duration in seconds."""


@dataclass(frozen=True)
class SimilarityPoint(Point):
    """The correlational measures of two sites (appendices A.3 and A.4).

    Apart from `sites`, the fields are the arguments of `compare`.
    """

    sites: tuple[str, str]
    seed: int = 0
    draws: int = 10
    samples: int = 1000
    trials_each: int = 15

    @property
    def members(self) -> tuple[str, ...]:
        """The references of the two sites."""
        return self.sites

    @property
    def declaration(self) -> str:
        """The arguments, and the fingerprints of the two sites."""
        found = [_site_fingerprint(reference, True) for reference in self.sites]
        own = (self.sites, self.seed, self.draws, self.samples, self.trials_each)
        return " ".join(["similarity", repr(own), *found])

    def run(self, folder: Path, callback: Callback = silent, cache: SharedCache | None = None) -> None:  # noqa: ARG002
        """Compute the measures, and write their file."""
        began = time.perf_counter()
        a, b = (SITES.open(reference) for reference in self.sites)
        table = compare(a, b, seed=self.seed, draws=self.draws, samples=self.samples, trials_each=self.trials_each)
        measures = dict(zip(table["measure"], table["value"], strict=True))
        found = SimilarityMeasures(measures=measures, seconds=time.perf_counter() - began)
        write_text(folder / MEASURES, found.model_dump_json(indent=1) + "\n")


Outcome = AlignmentSummary | SimilarityMeasures
"""What a finished point found."""


def read_outcome(folder: Path) -> Outcome | None:
    """Return what the point of a folder found, or `None` where its file is missing or broken."""
    for name, kind in ((RESULT, AlignmentSummary), (MEASURES, SimilarityMeasures)):
        try:
            return kind.model_validate_json((folder / name).read_bytes(), context={"saved": True})
        except (OSError, ValidationError):
            continue
    return None
