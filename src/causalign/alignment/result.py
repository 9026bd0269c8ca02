"""What an alignment is once it has been found: maps, scores, and how they came about."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import torch
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from causalign._files import output_folder, read_tensors, write_tensors, write_text
from causalign.alignment.export import to_pyvene
from causalign.errors import CausalignError, invalid
from causalign.maps import AlignmentMap
from causalign.search import Stopped

RESULT, MAPS = "result.json", "maps.safetensors"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SiteRecord(_Part):
    """Which site this was."""

    name: str
    network: str
    at: str
    task: str
    task_summary: str
    """What the task asks for, in a line."""
    variables: tuple[str, ...]
    """What the swapped variable stands for."""
    width: int
    fingerprint: str
    """Of the network's weights."""


class Score(_Part):
    """The IIA of one direction on held-out interventions, with its Wilson interval."""

    source: str
    target: str
    variable: str
    iia: float
    ci_low: float
    ci_high: float
    trials: int


class LookRecord(_Part):
    """A point of the learning curve, on validation interventions."""

    step: int
    loss: float | None
    worst_iia: float | None
    """Over the directions whose target may be run in the search."""
    mean_iia: float | None
    validation_loss: float | None = None
    """What the choice was made by, where some target may not be run."""


class Counts(_Part):
    """Interventions of each direction, by their use."""

    train: int
    validation: int
    test: int


class Unmatched(_Part):
    """Interventions of one direction left out because no counterfactual latent was recorded for their values."""

    source: str
    target: str
    split: str
    values: dict[str, int]
    count: int


class RankTried(_Part):
    """A rank that the search for the least one tried, and how it did on validation."""

    rank: int
    worst_iia: float
    steps: int
    stopped: Stopped


class Seconds(_Part):
    """Where the time went."""

    data: float
    states: float
    search: float
    evaluate: float
    total: float


class Record(_Part):
    """All of an alignment but its maps: what `result.json` holds."""

    schema_version: Literal[1] = 1
    method: str
    task: str
    variable: str | tuple[str, ...]
    rank: int
    map: str
    scale: bool
    start: str
    sites: tuple[SiteRecord, ...]
    iia: tuple[Score, ...]
    worst_iia: float
    """Of the trained directions."""
    unswapped: tuple[Score, ...]
    """The same interventions with nothing swapped: what a network scores that ignores its source."""
    untrained: tuple[Score, ...] = ()
    """Directions that the method did not train."""
    inaccessible: str | None = None
    """The site whose states were brought near counterfactual latents, its network not run in the search."""
    eps: float | None = None
    """The weight of the latent objective, where there was behaviour beside it."""
    unmatched: tuple[Unmatched, ...] = ()
    ranks: tuple[RankTried, ...] = ()
    """The search for the least rank, if it was one."""
    tolerance: float | None = None
    """How much lower its worst IIA may be than the best of all ranks'."""
    steps: int
    stopped: Stopped
    seed: int
    threads: int
    interventions: Counts
    seconds: Seconds
    versions: dict[str, str]
    history: tuple[LookRecord, ...]

    @model_validator(mode="after")
    def _whole(self) -> "Record":
        names = {site.name for site in self.sites}
        directions = [(score.source, score.target) for score in self.iia]
        if not directions or directions != [(score.source, score.target) for score in self.unswapped]:
            raise ValueError("iia and unswapped must score the same directions, at least one")
        if not names.issuperset(name for direction in directions for name in direction):
            raise ValueError("a score is of a site that is not listed")
        return self


@dataclass(frozen=True, eq=False)
class Alignment:
    """One map a network and the IIA of every direction, on interventions that no search has seen."""

    maps: tuple[AlignmentMap, ...]
    record: Record

    @property
    def iia(self) -> pd.DataFrame:
        """One row a direction: `source, target, variable, iia, ci_low, ci_high, trials`."""
        return pd.DataFrame([dict(score) for score in self.record.iia])

    @property
    def unswapped(self) -> pd.DataFrame:
        """The same table for the same interventions with nothing swapped: the floor."""
        return pd.DataFrame([dict(score) for score in self.record.unswapped])

    @property
    def untrained(self) -> pd.DataFrame:
        """The same table for the directions that the method scores without having trained them; often empty."""
        return pd.DataFrame([dict(score) for score in self.record.untrained], columns=list(Score.model_fields))

    @property
    def unmatched(self) -> pd.DataFrame:
        """Interventions without a counterfactual latent: `source, target, split, values, count`."""
        return pd.DataFrame([dict(each) for each in self.record.unmatched], columns=list(Unmatched.model_fields))

    @property
    def worst_iia(self) -> float:
        """The IIA of the worst direction that was trained: the headline."""
        return self.record.worst_iia

    @property
    def history(self) -> pd.DataFrame:
        """The learning curve on validation interventions: `step, loss, worst_iia, mean_iia, validation_loss`.

        The IIA is of the directions whose target may be run in the search; where some may not, `validation_loss` is
        what the choice was made by.
        """
        return pd.DataFrame([dict(look) for look in self.record.history], columns=list(LookRecord.model_fields))

    def save(self, folder: Path | str) -> Path:
        """Write `maps.safetensors` and `result.json`, each whole or not at all; nothing is pickled.

        Raises:
            CausalignError: the folder cannot be written.
        """
        folder = output_folder(Path(folder), RESULT, MAPS)
        tensors = {f"maps.{index}.frame": each.frame for index, each in enumerate(self.maps)}
        tensors |= {
            f"maps.{index}.scale": torch.as_tensor(each.scale, dtype=torch.float64)
            for index, each in enumerate(self.maps)
        }
        write_tensors(folder / MAPS, tensors)
        write_text(folder / RESULT, self.record.model_dump_json(indent=2) + "\n")
        return folder

    def to_pyvene(self, site: int) -> Any:
        """The subspace of one site, by its index, as an intervention of pyvene (`LowRankRotatedSpaceIntervention`).

        Raises:
            CausalignError: pyvene is not installed, or there is no such site.
        """
        if not 0 <= site < len(self.maps):
            raise CausalignError(f"site is the index of one of {len(self.maps)} sites, found {site}")
        return to_pyvene(self.maps[site])

    def __repr__(self) -> str:
        names = ", ".join(site.name for site in self.record.sites)
        worst = min(self.record.iia, key=lambda score: score.iia)
        interval = f"[{worst.ci_low:.3f}, {worst.ci_high:.3f}]"
        return f"Alignment({self.record.method} of {names}: worst IIA {self.worst_iia:.3f} {interval})"


def load_alignment(folder: Path | str) -> Alignment:
    """A saved alignment.

    Raises:
        CausalignError: a file is missing, broken, or of another format.
    """
    folder = Path(folder)
    try:
        record = Record.model_validate_json((folder / RESULT).read_bytes())
    except OSError as error:
        raise CausalignError(f"{folder}: not a saved alignment ({RESULT}: {error.strerror})") from None
    except ValidationError as error:
        raise invalid(str(folder / RESULT), error) from None
    tensors, _ = read_tensors(folder / MAPS)
    try:
        maps = tuple(
            AlignmentMap(tensors[f"maps.{index}.frame"], float(tensors[f"maps.{index}.scale"]))
            for index in range(len(record.sites))
        )
    except KeyError as missing:
        raise CausalignError(
            f"{folder / MAPS}: no entry {missing}, though {RESULT} has {len(record.sites)} sites"
        ) from None
    for site, each in zip(record.sites, maps, strict=True):
        if each.frame.shape != (site.width, record.rank):
            raise CausalignError(
                f"{folder / MAPS}: the map of {site.name} is {list(each.frame.shape)}, "
                f"and {RESULT} says [{site.width}, {record.rank}]"
            )
    return Alignment(maps, record)
