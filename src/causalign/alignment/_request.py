"""What an alignment was asked to be, checked before any work, and the steps that follow from it."""

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch

from causalign._progress import Listener, Update
from causalign._random import torch_stream
from causalign._version import __version__
from causalign.alignment._clock import Clock
from causalign.alignment.methods import Method, method_of
from causalign.alignment.result import Counts, LookRecord, Record, Score, Seconds, SiteRecord
from causalign.errors import CausalignError, unknown
from causalign.evaluation import correct_trials, iia_table
from causalign.interchange import Direction, Interventions, Recorded, Swap, draw_interventions, record_all
from causalign.maps import AlignmentMap, TrainableMap, parametrisation, random_frame, require_rank
from causalign.search import Found, closed_form
from causalign.sites import Site, check
from causalign.tasks import require_settable

STARTS = ("closed-form", "random")


@dataclass(frozen=True, eq=False)
class Split:
    """The states that one split recorded, and the interventions drawn from them."""

    recorded: Sequence[Recorded]
    interventions: Mapping[Direction, Interventions]


@dataclass(frozen=True)
class Request:
    """The arguments of `align`, found to fit each other."""

    sites: Sequence[Site]
    variables: Sequence[str]
    """One for each site."""
    method: Method
    rank: int
    parametrisation: type[TrainableMap]
    scale: bool
    start: str
    seed: int
    counts: Counts

    @classmethod
    def checked(
        cls,
        sites: Sequence[Site] | Site,
        variable: str | Sequence[str],
        method: str | Method,
        rank: int,
        map_name: str,
        scale: bool,
        start: str,
        seed: int,
        counts: Mapping[str, int],
    ) -> "Request":
        """The request, once everything about it has been checked.

        Raises:
            CausalignError: an argument is unknown or does not fit the others, or a site fails its checks.
        """
        sites = list(sites) if isinstance(sites, list | tuple) else [cast("Site", sites)]
        for site in sites:
            if not isinstance(site, Site):
                raise CausalignError(f"align takes sites, such as network.site('hidden'); found {type(site).__name__}")
        row, kind = method_of(method), parametrisation(map_name)
        row.require_sites(len(sites))
        variables = _one_each(variable, sites)
        if start not in STARTS:
            raise unknown("start", start, STARTS)
        if seed < 0:
            raise CausalignError(f"seed must not be negative, found {seed}")
        for split, count in counts.items():
            if count < 1:
                raise CausalignError(f"{split} interventions must be at least 1, found {count}")
        for site in sites:
            require_rank(rank, site.width, site.name)
        if len({site.device for site in sites}) > 1:
            raise CausalignError(f"sites must be on one device; found {', '.join(str(s.device) for s in sites)}")
        for site in sites:
            check(site, seed)
        return cls(sites, variables, row, int(rank), kind, scale, start, seed, Counts(**counts))

    @property
    def names(self) -> list[str]:
        """What the sites are called in results: their names, numbered where one is there more than once."""
        names = [site.name for site in self.sites]
        return [f"{n} #{names[: i + 1].count(n)}" if names.count(n) > 1 else n for i, n in enumerate(names)]

    def draw(self, clock: Clock, listener: Listener) -> dict[str, Split]:
        """The interventions of each split, each from streams and trials of its own."""
        directions = self.method.directions(len(self.sites))
        splits = {}
        for done, (split, count) in enumerate(self.counts, start=1):
            with clock("states"):
                recorded = record_all(self.sites, count, self.seed, split)
            with clock("data"):
                drawn = draw_interventions(self.sites, self.variables, directions, recorded, count, self.seed, split)
            splits[split] = Split(recorded, drawn)
            listener(Update("interventions", done, 3))
        return splits

    def starting_maps(self, recorded: Sequence[Recorded]) -> list[TrainableMap]:
        """The trainable map of each site, where the search begins."""
        if self.start == "random":
            frames = [
                random_frame(site.width, self.rank, torch_stream(self.seed, "start", index))
                for index, site in enumerate(self.sites)
            ]
            starts = [AlignmentMap(frame, 1.0) for frame in frames]
        else:
            keys = [site.task.keys(variable) for site, variable in zip(self.sites, self.variables, strict=True)]
            starts = closed_form(recorded, keys, self.rank, self.scale)
        return [
            self.parametrisation(AlignmentMap(start.frame.to(site.device, site.dtype), start.scale), self.scale)
            for start, site in zip(starts, self.sites, strict=True)
        ]

    def scores(
        self, maps: Sequence[AlignmentMap], swap: Swap, interventions: Mapping[Direction, Interventions]
    ) -> tuple[Score, ...]:
        """The IIA of every direction under a swap."""
        correct = correct_trials(self.sites, maps, swap, interventions)
        table = iia_table(self.names, self.variables, correct)
        return tuple(Score.model_validate(row) for row in table.to_dict("records"))

    def record(self, found: Found, scores: tuple[Score, ...], floor: tuple[Score, ...], clock: Clock) -> Record:
        """All there is to be said of what was found."""
        return Record(
            method=self.method.name,
            task=" x ".join(dict.fromkeys(site.task.name for site in self.sites)),
            variable=self.variables[0] if len(set(self.variables)) == 1 else tuple(self.variables),
            rank=self.rank,
            map=self.parametrisation.name,
            scale=self.scale,
            start=self.start,
            sites=tuple(map(_about, self.sites, self.names, self.variables)),
            iia=scores,
            worst_iia=min(score.iia for score in scores),
            unswapped=floor,
            steps=found.steps,
            stopped=found.stopped,
            seed=self.seed,
            threads=torch.get_num_threads(),
            interventions=self.counts,
            seconds=Seconds(**clock.read()),
            versions=_versions(),
            history=tuple(LookRecord(**vars(look)) for look in found.history),
        )


def _one_each(variable: str | Sequence[str], sites: Sequence[Site]) -> list[str]:
    """One variable a site, each known to its task, and each settable from every other."""
    variables = [variable] * len(sites) if isinstance(variable, str) else list(variable)
    if len(variables) != len(sites):
        raise CausalignError(f"name one variable, or one for each of the {len(sites)} sites; found {len(variables)}")
    for site, name in zip(sites, variables, strict=True):
        require_settable(sites[0].task, variables[0], site.task, name)
    return variables


def _about(site: Site, name: str, variable: str) -> SiteRecord:
    return SiteRecord(
        name=name,
        network=site.network.name,
        at=site.at,
        task=site.task.name,
        task_summary=(type(site.task).__doc__ or "").strip().split("\n")[0],
        variables=site.task.keys(variable),
        width=site.width,
        fingerprint=site.network.fingerprint,
    )


def _versions() -> dict[str, str]:
    """Of all that a result depends on."""
    return {
        "causalign": __version__,
        "torch": torch.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
    }
