"""What an alignment is once it has been found: maps, scores, and how they came about."""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import torch
from jaxtyping import Float
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from torch import Tensor

from causalign._files import output_folder, read_tensors, write_tensors, write_text
from causalign.alignment._caveats import caveats
from causalign.alignment.export import to_pyvene
from causalign.errors import CausalignError, invalid
from causalign.maps import AlignmentMap
from causalign.recordings import Preprocessing
from causalign.search import Look, Stopped

RESULT, MAPS = "result.json", "maps.safetensors"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Counts(_Part):
    """Interventions of each direction, or trials of a recording, by their use."""

    train: int
    validation: int
    test: int


class ValueCount(_Part):
    """What a recording has of one value of its variables in one split."""

    values: dict[str, int]
    split: str
    trials: int
    samples: int
    missing: int
    """Samples of the value at which some unit has none."""
    shortest: int
    """Of the trials that have the value, in samples."""
    longest: int
    used: bool
    """Whether enough trials have it."""


class RecordingAccount(_Part):
    """What there was of a recording, and what was done to it first."""

    units: tuple[str, ...]
    preprocess: dict[str, bool | int | None]
    trials: Counts
    fewest: int
    """Trials of a split that must have a value for it to be used."""
    left_out: dict[str, int]
    """Trials that nothing is known of, by reason."""
    coverage: tuple[ValueCount, ...]


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
    """Of the network's weights, or of a recording's states."""
    recording: RecordingAccount | None = None
    """Where it is no site of a network, but was only recorded."""


class Score(_Part):
    """The IIA of one direction on held-out interventions, with its Wilson interval."""

    source: str
    target: str
    variable: str
    iia: float
    ci_low: float
    ci_high: float
    trials: int


class ControlScore(Score):
    """The same of a control: an alignment that differs in one respect and took at most as many steps."""

    control: str
    """`untrained`: the first network replaced by an untrained one of its shape; `shuffled`: the continuations shuffled
    among the interventions; `random`: the subspaces left where a random start puts them."""
    steps: int


class DepartureRecord(_Part):
    """How far the swapped states of one direction are from natural ones, and how far held-out natural states are."""

    source: str
    target: str
    outside: float
    """Share of variance outside the components that hold 99 % of the natural states'."""
    outside_natural: float
    energy: float
    """Energy distance as a share of its largest value."""
    energy_natural: float


class LatentScore(_Part):
    """The latent objective (equation 8) of one direction into a recording, on held-out interventions.

    Its interval is by bootstrap over the recording's trials.
    """

    source: str
    target: str
    variable: str
    distance: float
    ci_low: float
    ci_high: float
    unswapped: float
    """The same with nothing swapped."""
    interventions: int
    trials: int
    """Of the recording, that were swapped into."""


class LookRecord(_Part):
    """A point of the learning curve, on validation interventions."""

    step: int
    loss: float | None
    worst_iia: float | None
    """Over the directions whose target may be run in the search."""
    mean_iia: float | None
    validation_loss: float | None = None
    """What the choice was made by, where some target may not be run."""


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
    controls: float = 0.0
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
    worst_iia: float | None
    """Of the trained directions; none where all lead into recordings."""
    unswapped: tuple[Score, ...]
    """The same interventions with nothing swapped: what a network scores that ignores its source."""
    untrained: tuple[Score, ...] = ()
    """Directions that the method did not train."""
    controls: tuple[ControlScore, ...] = ()
    """Of the trained directions, if controls were asked for."""
    departures: tuple[DepartureRecord, ...] = ()
    latent: tuple[LatentScore, ...] = ()
    """Trained directions into recordings, which have no IIA."""
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

    @property
    def best(self) -> Look:
        """The look at the validation interventions whose maps were kept."""
        looks = [Look(**dict(look)) for look in self.history]
        return reduce(lambda best, look: look if look.better_than(best) else best, looks)

    @property
    def control_scores(self) -> dict[str, list[float]]:
        """The IIA of each control: of all directions, but with a network untrained of those into the others."""
        into_first = [score.target == self.sites[0].name for score in self.iia]
        found: dict[str, list[float]] = {}
        for control in dict.fromkeys(score.control for score in self.controls):
            scores = [score.iia for score in self.controls if score.control == control]
            others = [iia for iia, lost in zip(scores, into_first, strict=True) if not lost]
            found[control] = others if control == "untrained" and others else scores
        return found

    @model_validator(mode="after")
    def _whole(self) -> "Record":
        names = {site.name for site in self.sites}
        directions = [(score.source, score.target) for score in self.iia]
        if directions != [(score.source, score.target) for score in self.unswapped]:
            raise ValueError("iia and unswapped must score the same directions")
        if (not directions and not self.latent) or (self.worst_iia is None) != (not directions):
            raise ValueError("iia must score at least one direction, or latent, and worst_iia is the least of iia")
        if not names.issuperset(name for direction in directions for name in direction):
            raise ValueError("a score is of a site that is not listed")
        if any(count != len(directions) for count in Counter(score.control for score in self.controls).values()):
            raise ValueError("each control must score the directions of iia")
        return self


@dataclass(frozen=True, eq=False)
class Alignment:
    """One map a network and the IIA of every direction, on interventions that no search has seen."""

    maps: tuple[AlignmentMap, ...]
    record: Record
    preprocessing: tuple[Preprocessing | None, ...] = ()
    """What was done to each recording first; its map is of the states after it. Nothing for sites of networks."""

    @property
    def iia(self) -> pd.DataFrame:
        """One row a direction: `source, target, variable, iia, ci_low, ci_high, trials`."""
        return pd.DataFrame([dict(score) for score in self.record.iia], columns=list(Score.model_fields))

    @property
    def unswapped(self) -> pd.DataFrame:
        """The same table for the same interventions with nothing swapped: the floor."""
        return pd.DataFrame([dict(score) for score in self.record.unswapped], columns=list(Score.model_fields))

    @property
    def untrained(self) -> pd.DataFrame:
        """The same table for the directions that the method scores without having trained them; often empty."""
        return pd.DataFrame([dict(score) for score in self.record.untrained], columns=list(Score.model_fields))

    @property
    def controls(self) -> pd.DataFrame:
        """What the same search finds where there is nothing to be found: the table with `control` and `steps`.

        `untrained` has the first network replaced by an untrained one of its shape, `shuffled` the continuations
        shuffled among the interventions, and `random` the subspaces left where a random start puts them.
        """
        columns = ["control", *(name for name in ControlScore.model_fields if name != "control")]
        return pd.DataFrame([dict(score) for score in self.record.controls], columns=columns)

    @property
    def worst_controls(self) -> dict[str, float]:
        """The score of each control: its worst direction, into a trained network where there is one."""
        return {control: min(scores) for control, scores in self.record.control_scores.items()}

    @property
    def departures(self) -> pd.DataFrame:
        """How far swapped states leave the natural ones, a row a direction: `source, target` and the figures.

        `outside` is the share of their variance outside the principal components that hold 99 % of the natural states',
        `energy` their energy distance to natural states (0: one distribution, 1: as far as can be); `outside_natural`
        and `energy_natural` are those of natural states that were held out.
        """
        return pd.DataFrame([dict(each) for each in self.record.departures], columns=list(DepartureRecord.model_fields))

    @property
    def unmatched(self) -> pd.DataFrame:
        """Interventions without a counterfactual latent: `source, target, split, values, count`."""
        return pd.DataFrame([dict(each) for each in self.record.unmatched], columns=list(Unmatched.model_fields))

    def project(self, index: int, states: Float[Tensor, "*samples units"]) -> Float[Tensor, "*samples rank"]:
        """The coordinates in the aligned subspace of states of the site `index`, of a recording as they were recorded.

        Whatever was done to the recording first is done to them.
        """
        done = self.preprocessing[index] if self.preprocessing else None
        return self.maps[index].project(states if done is None else done.apply(states).to(self.maps[index].frame))

    def lift(self, index: int, coordinates: Float[Tensor, "*samples rank"]) -> Float[Tensor, "*samples units"]:
        """The states within the subspace of the site `index` that have these coordinates; of a recording, its activity.

        Whatever was done to the recording first is undone.
        """
        states = self.maps[index].lift(coordinates)
        done = self.preprocessing[index] if self.preprocessing else None
        return states if done is None else done.undo(states)

    @property
    def caveats(self) -> list[str]:
        """What the scores do not show of recordings, a sentence each."""
        return caveats(self.record)

    @property
    def coverage(self) -> pd.DataFrame:
        """What there was of each value: `site, split`, the values, `trials, samples, missing, shortest, longest, used`.

        As `Recording.coverage`, for all recordings of the alignment.
        """
        rows = [
            {"site": site.name, "split": each.split} | dict(each.values) | each.model_dump(exclude={"values", "split"})
            for site in self.record.sites
            for each in (site.recording.coverage if site.recording else ())
        ]
        return pd.DataFrame(rows)

    @property
    def worst_iia(self) -> float:
        """The IIA of the worst direction that was trained: the headline; NaN where all lead into recordings."""
        return math.nan if self.record.worst_iia is None else self.record.worst_iia

    @property
    def latent(self) -> pd.DataFrame:
        """The latent objective on held-out interventions, for trained directions into recordings.

        `source, target, variable, distance, ci_low, ci_high, unswapped, interventions, trials`; less is nearer.
        """
        return pd.DataFrame([dict(score) for score in self.record.latent], columns=list(LatentScore.model_fields))

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
        for index, each in enumerate(self.preprocessing):
            given = {} if each is None else each.tensors()
            tensors |= {f"preprocessing.{index}.{name}": tensor for name, tensor in given.items()}
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
        if not self.record.iia:
            farthest = max(self.record.latent, key=lambda score: score.distance)
            return f"Alignment({self.record.method} of {names}: latent distance {farthest.distance:.3f})"
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
    return Alignment(maps, record, _preprocessing(tensors, record, folder))


def _preprocessing(tensors: Mapping[str, Tensor], record: Record, folder: Path) -> tuple[Preprocessing | None, ...]:
    found: list[Preprocessing | None] = []
    for index, site in enumerate(record.sites):
        prefix = f"preprocessing.{index}."
        given = {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
        try:
            found.append(None if site.recording is None else Preprocessing.of_tensors(given))
        except KeyError as missing:
            raise CausalignError(f"{folder / MAPS}: what was done to {site.name} first lacks {missing}") from None
    return tuple(found)
