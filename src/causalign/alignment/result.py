"""What an alignment is once it has been found: maps, scores, and how they came about."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from jaxtyping import Float
from pydantic import ValidationError
from torch import Tensor

from causalign.alignment.caveats import caveats
from causalign.alignment.pyvene_export import to_pyvene
from causalign.alignment.schema import (
    AlignmentSummary,
    ControlScore,
    EvaluationRecord,
    LatentScore,
    MissingLatent,
    NaturalnessScore,
    Score,
)
from causalign.errors import FileFormatError, invalid
from causalign.files import output_folder, read_tensors, write_tensors, write_text
from causalign.maps.base import AlignmentMap
from causalign.recordings.preprocessing import Preprocessing

RESULT, MAPS = "result.json", "maps.safetensors"


@dataclass(frozen=True, eq=False)
class Alignment:
    """One map a network and the IIA of every direction, on interventions that no search has seen."""

    maps: tuple[AlignmentMap, ...]
    record: AlignmentSummary
    preprocessing: tuple[Preprocessing | None, ...] = ()
    """What was done to each recording first; its map is of the states after it. Nothing for sites of networks."""

    @property
    def iia(self) -> pd.DataFrame:
        """One row a direction: `source, target, variable, iia, ci_low, ci_high, trials`."""
        return pd.DataFrame([dict(score) for score in self.record.iia], columns=list(Score.model_fields))

    @property
    def no_swap(self) -> pd.DataFrame:
        """The same table for the same interventions with nothing swapped: the floor."""
        return pd.DataFrame([dict(score) for score in self.record.no_swap], columns=list(Score.model_fields))

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
    def naturalness(self) -> pd.DataFrame:
        """How far swapped states leave the natural ones, a row a direction: `source, target` and the figures.

        `outside` is the share of their variance outside the principal components that hold 99 % of the natural states',
        `energy` their energy distance to natural states (0: one distribution, 1: as far as can be); `outside_natural`
        and `energy_natural` are those of natural states that were held out.
        """
        return pd.DataFrame(
            [dict(each) for each in self.record.naturalness], columns=list(NaturalnessScore.model_fields)
        )

    @property
    def unmatched(self) -> pd.DataFrame:
        """Interventions without a counterfactual latent: `source, target, split, values, count`."""
        return pd.DataFrame([dict(each) for each in self.record.unmatched], columns=list(MissingLatent.model_fields))

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

        `source, target, variable, distance, ci_low, ci_high, no_swap, interventions, trials`; less is nearer.
        """
        return pd.DataFrame([dict(score) for score in self.record.latent], columns=list(LatentScore.model_fields))

    @property
    def history(self) -> pd.DataFrame:
        """The learning curve on validation interventions: `step, loss, worst_iia, mean_iia, validation_loss`.

        The IIA is of the directions whose target may be run in the search; where some may not, `validation_loss` is
        what the choice was made by.
        """
        return pd.DataFrame([dict(look) for look in self.record.history], columns=list(EvaluationRecord.model_fields))

    def save(self, folder: Path | str) -> Path:
        """Write `maps.safetensors` and `result.json`, each whole or not at all; nothing is pickled.

        Raises:
            FileFormatError: the folder cannot be written.
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
            FileFormatError: pyvene is not installed, or there is no such site.
        """
        if not 0 <= site < len(self.maps):
            raise FileFormatError(f"site is the index of one of {len(self.maps)} sites, found {site}")
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
        FileFormatError: a file is missing, broken, or of another format.
    """
    folder = Path(folder)
    try:
        record = AlignmentSummary.model_validate_json((folder / RESULT).read_bytes())
    except OSError as error:
        raise FileFormatError(f"{folder}: not a saved alignment ({RESULT}: {error.strerror})") from None
    except ValidationError as error:
        raise invalid(str(folder / RESULT), error) from None
    tensors, _ = read_tensors(folder / MAPS)
    try:
        maps = tuple(
            AlignmentMap(tensors[f"maps.{index}.frame"], float(tensors[f"maps.{index}.scale"]))
            for index in range(len(record.sites))
        )
    except KeyError as missing:
        raise FileFormatError(
            f"{folder / MAPS}: no entry {missing}, though {RESULT} has {len(record.sites)} sites"
        ) from None
    for site, each in zip(record.sites, maps, strict=True):
        if each.frame.shape != (site.width, record.rank):
            raise FileFormatError(
                f"{folder / MAPS}: the map of {site.name} is {list(each.frame.shape)}, "
                f"and {RESULT} says [{site.width}, {record.rank}]"
            )
    return Alignment(maps, record, _preprocessing(tensors, record, folder))


def _preprocessing(
    tensors: Mapping[str, Tensor], record: AlignmentSummary, folder: Path
) -> tuple[Preprocessing | None, ...]:
    found: list[Preprocessing | None] = []
    for index, site in enumerate(record.sites):
        prefix = f"preprocessing.{index}."
        given = {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
        try:
            found.append(None if site.recording is None else Preprocessing.of_tensors(given))
        except KeyError as missing:
            raise FileFormatError(f"{folder / MAPS}: what was done to {site.name} first lacks {missing}") from None
    return tuple(found)
