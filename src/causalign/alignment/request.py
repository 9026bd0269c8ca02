"""The request of one alignment: its arguments, checked before any network is run, and the steps that follow."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from causalign.alignment.methods import Method, Roles, method_of
from causalign.alignment.schema import Counts
from causalign.callbacks import Callback
from causalign.counterfactuals.dataset import Counterfactuals, require_seed
from causalign.counterfactuals.direction import Direction
from causalign.counterfactuals.row_source import SPLITS, RowRequest
from causalign.counterfactuals.rows import CounterfactualRows
from causalign.errors import InvalidArgument, unknown
from causalign.maps import parametrization
from causalign.maps.base import AlignmentMap, TrainableMap, random_frame, require_rank
from causalign.random_streams import torch_stream
from causalign.recordings.preprocessing import Preprocessing
from causalign.run_context import RunContext
from causalign.search.initialisation import generalized_procrustes
from causalign.search.objectives import Objective
from causalign.sites.base import Site, require_site
from causalign.sites.readable import Readable
from causalign.sites.recordings.recording import Recording
from causalign.tasks.variable import Variable
from causalign.timer import Timer

CLOSED_FORM = "closed-form"
STARTS = (CLOSED_FORM, "random", "paired")
AUTO = "auto"
_EPS = 100.0  # the loss of equation 5 is a sum over tokens, that of equation 8 a mean over units


@dataclass(frozen=True)
class Request:
    """The arguments of `align`, found to fit each other."""

    data: Counterfactuals
    method: Method
    objectives: Mapping[Direction, Objective]
    """The trained directions, and what is minimised in each."""
    ranks: tuple[int, ...]
    """The ranks to choose from, in the order of trial; the full rank, where the smallest is searched for."""
    parametrization: type[TrainableMap]
    scale: bool
    start: str
    seed: int
    notes: tuple[str, ...] = ()
    """What was assumed or left out, a sentence each."""

    @classmethod
    def checked(
        cls,
        data: Counterfactuals,
        method: str | Method,
        rank: int | str | Sequence[int],
        *,
        map_name: str,
        scale: bool,
        start: str | None,
        inaccessible: int | None,
        eps: float | None,
        seed: int,
    ) -> "Request":
        """Return the request, once everything about it has been checked.

        Raises:
            InvalidArgument: An argument is unknown or does not fit the others, or a site fails its checks.
        """
        sites = data.sites
        row, kind = method_of(method), parametrization(map_name)
        row.require_sites(len(sites))
        if start is not None and start not in STARTS:
            raise unknown("start", start, STARTS)
        require_seed(seed)
        objectives = row.plan(_roles(row, len(sites), inaccessible, eps))
        if row.stepwise and any(objective.uses_latents for objective in objectives.values()):
            raise InvalidArgument(f"{row.name}: counterfactual latents are of single states, not of stepwise swaps")
        _require_run(row, objectives, sites)
        ranks = _ranks(rank, row, objectives, sites)
        _require_alike("on one device", [str(site.device) for site in sites])
        precisions = [str(_at_least_single(site)) for site in sites]  # of maps, and so of swaps
        _require_alike("of one precision", precisions)
        data.check(row.stepwise, seed)
        notes = data.notes
        chosen = row.start or start or CLOSED_FORM
        if chosen == CLOSED_FORM and (reason := data.without_classes(row.stepwise)):
            if start == CLOSED_FORM or rank == AUTO:
                raise InvalidArgument(reason)
            chosen, notes = "random", (*notes, f"The start is random: {reason}.")
        return cls(data, row, objectives, ranks, kind, scale, chosen, seed, notes)

    @property
    def sites(self) -> tuple[Readable, ...]:
        """The sites."""
        return self.data.sites

    @property
    def variables(self) -> tuple[Variable, ...]:
        """The variable of each site."""
        return self.data.variables

    @property
    def names(self) -> list[str]:
        """The names of the sites in results."""
        return self.data.names

    @property
    def counts(self) -> Counts:
        """The rows of each direction, by split."""
        return Counts(**self.data.counts)

    def context(self, timer: Timer, callback: Callback) -> RunContext:
        """Return the context of a run of this request; its store is that of the dataset."""
        return RunContext(self.seed, self.data.store, callback, timer)

    @property
    def rank(self) -> int:
        """The dimensions of the subspace, or the most of those that are to be chosen from."""
        return max(self.ranks)

    @property
    def preprocessing(self) -> tuple[Preprocessing | None, ...]:
        """What was done to each site's states first, where they are a recording's."""
        return tuple(site.preprocessing if isinstance(site, Recording) else None for site in self.sites)

    @property
    def scored(self) -> list[Direction]:
        """The directions whose IIA there is, those that are trained first: recordings cannot be run."""
        directions = [*self.objectives, *self.method.untrained(len(self.sites))]
        return [direction for direction in directions if isinstance(self.sites[direction.target], Site)]

    @property
    def only_read(self) -> list[Direction]:
        """The trained directions into recordings, of which there is the latent objective instead."""
        return [direction for direction in self.objectives if direction not in self.scored]

    def rows(self, context: RunContext) -> dict[str, dict[Direction, CounterfactualRows]]:
        """Return the rows of each split by direction.

        Rows have counterfactual latents in the splits that a search sees; the test is of behavior alone, where a target
        can be run.
        """
        latents = [direction for direction, objective in self.objectives.items() if objective.uses_latents]
        splits = {}
        for done, split in enumerate(SPLITS, start=1):
            tested = split == "test"
            directions = [*self.scored, *self.only_read] if tested else [*self.objectives]
            wanted = frozenset(self.only_read if tested else latents)
            splits[split] = self.data.rows(RowRequest(split, tuple(directions), self.method.stepwise, wanted), context)
            context.report("counterfactuals", done, len(SPLITS))
        return splits

    def starting_maps(self, context: RunContext) -> list[AlignmentMap]:
        """Return the map of each site where the search begins."""
        if self.start == "random":
            frames = [
                random_frame(site.width, self.rank, torch_stream(self.seed, "start", index))
                for index, site in enumerate(self.sites)
            ]
            return [AlignmentMap(frame, 1.0) for frame in frames]
        paired = self.data.paired_states(context) if self.start == "paired" else self.means(context)
        return generalized_procrustes(paired, self.rank, self.scale)

    def means(self, context: RunContext) -> list[Float[Tensor, "values _"]]:
        """Return the mean states of each site by value of the variable, or by label."""
        return self.data.class_means(self.method.stepwise, context)

    def trainable(self, maps: Sequence[AlignmentMap]) -> list[TrainableMap]:
        """The parameters of these maps, on each site's device and in its precision, but never in half."""
        return [
            self.parametrization(
                AlignmentMap(each.frame.to(site.device, _at_least_single(site)), each.scale), self.scale
            )
            for each, site in zip(maps, self.sites, strict=True)
        ]


def _roles(row: Method, sites: int, inaccessible: int | None, eps: float | None) -> Roles:
    """The roles that are asked for: the last site is the inaccessible one unless another is named."""
    if inaccessible is not None and not -sites <= inaccessible < sites:
        raise InvalidArgument(f"inaccessible is the index of one of {sites} sites, found {inaccessible}")
    if eps is not None and not 0 < eps < math.inf:
        raise InvalidArgument(f"eps must be positive and finite, found {eps}")
    roles = Roles(sites, sites - 1 if inaccessible is None else inaccessible % sites, _EPS if eps is None else eps)
    both = len({objective.runs_target for objective in row.plan(roles).values()}) == 2
    if not both and (inaccessible is not None or eps is not None):
        raise InvalidArgument(f"{row.name} runs all of its networks or none: inaccessible and eps are for clmas")
    return roles


def _require_run(row: Method, objectives: Mapping[Direction, Objective], sites: Sequence[Readable]) -> None:
    """Check that no recording would have to be run."""
    run = [sites[direction.target] for direction, objective in objectives.items() if objective.runs_target]
    for site in run:
        require_site(site, f"{row.name} runs it: clmas and latent-stitch need not")


def _at_least_single(site: Readable) -> torch.dtype:
    return torch.promote_types(site.dtype, torch.float32)


def _ranks(
    rank: int | str | Sequence[int], row: Method, objectives: Mapping[Direction, Objective], sites: Sequence[Readable]
) -> tuple[int, ...]:
    """The ranks that are asked for, or for `auto` the full one, from which the search for the least begins."""
    if rank == AUTO:
        if not row.searches or not any(objective.runs_target for objective in objectives.values()):
            raise InvalidArgument(f'rank="auto" goes by the IIA in the search, and {row.name} has none')
        return (min(site.width for site in sites),)
    ranks: list[Any] = list(rank) if isinstance(rank, list | tuple) else [rank]
    if not ranks:
        raise InvalidArgument("rank is a number, several to choose from, or auto; found an empty list")
    for site in sites:
        for each in ranks:
            require_rank(each, site.width, site.name)
    return tuple(dict.fromkeys(int(each) for each in ranks))


def _require_alike(what: str, found: Sequence[str]) -> None:
    if len(set(found)) > 1:
        raise InvalidArgument(f"sites must be {what}; found {', '.join(found)}")
