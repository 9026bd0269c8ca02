"""What an alignment was asked to be, checked before any work, and the steps that follow from it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor

from causalign.alignment.methods import Method, Roles, method_of
from causalign.alignment.schema import Counts
from causalign.alignment.user_rows import given_splits, start_without_values
from causalign.callbacks import Callback, ProgressUpdate
from causalign.counterfactuals.direction import Direction
from causalign.counterfactuals.from_task import draw_rows
from causalign.counterfactuals.rows import CounterfactualRows
from causalign.engine.activation_cache import Activations, read_activations, read_paired_activations
from causalign.errors import CausalignError, unknown
from causalign.maps import parametrization
from causalign.maps.base import AlignmentMap, TrainableMap, random_frame, require_rank
from causalign.random_streams import torch_stream
from causalign.recordings.preprocessing import Preprocessing
from causalign.search.initialisation import class_means, generalized_procrustes
from causalign.search.objectives import Objective
from causalign.sites.base import Site, require_site
from causalign.sites.checks import check
from causalign.sites.readable import Readable
from causalign.sites.recordings.recording import Recording
from causalign.storage import Store
from causalign.tasks.causal_model import require_settable
from causalign.tasks.variable import FULL, Variable
from causalign.timer import Timer

STARTS = ("closed-form", "random", "paired")
AUTO = "auto"
_EPS = 100.0  # the loss of equation 5 is a sum over tokens, that of equation 8 a mean over units


@dataclass(frozen=True, eq=False)
class Split:
    """The states that one split recorded, and the interventions drawn from them."""

    recorded: Sequence[Activations]
    interventions: Mapping[Direction, CounterfactualRows]


@dataclass(frozen=True)
class Request:
    """The arguments of `align`, found to fit each other."""

    sites: Sequence[Readable]
    variables: Sequence[Variable]
    """One for each site."""
    method: Method
    objectives: Mapping[Direction, Objective]
    """The trained directions, and what is minimised in each."""
    ranks: tuple[int, ...]
    """The dimensions of the subspace, if several are to be chosen from, in the order in which they are tried; the most
    there can be, where the least is searched for."""
    parametrization: type[TrainableMap]
    scale: bool
    start: str
    seed: int
    counts: Counts
    memory: float
    """GiB that tables may take; what is beyond lies in files."""
    given: Mapping[str, Mapping[Direction, CounterfactualRows]] | None = None
    """A user's own interventions of each split; by default they are drawn."""

    @classmethod
    def checked(
        cls,
        sites: Sequence[Readable] | Readable,
        variable: str | Variable | Sequence[str | Variable],
        method: str | Method,
        rank: int | str | Sequence[int],
        map_name: str,
        scale: bool,
        start: str,
        inaccessible: int | None,
        eps: float | None,
        seed: int,
        counts: Mapping[str, int],
        memory: float,
        interventions: object = None,
    ) -> "Request":
        """The request, once everything about it has been checked.

        Raises:
            CausalignError: an argument is unknown or does not fit the others, or a site fails its checks.
        """
        sites = list(sites) if isinstance(sites, list | tuple) else [cast("Readable", sites)]
        for site in sites:
            if not isinstance(site, Readable):
                raise CausalignError(f"align takes sites, such as network.site('hidden'); found {type(site).__name__}")
        row, kind = method_of(method), parametrization(map_name)
        row.require_sites(len(sites))
        variables = _one_each(variable, sites)
        if start not in STARTS:
            raise unknown("start", start, STARTS)
        if not memory >= 0:
            raise CausalignError(f"memory is a number of GiB, at least 0; found {memory}")
        if seed < 0:
            raise CausalignError(f"seed must not be negative, found {seed}")
        for split, count in counts.items():
            if count < 1:
                raise CausalignError(f"{split} interventions must be at least 1, found {count}")
        objectives = row.plan(_roles(row, len(sites), inaccessible, eps))
        if row.stepwise and any(objective.uses_latents for objective in objectives.values()):
            raise CausalignError(f"{row.name}: counterfactual latents are of single states, not of stepwise swaps")
        _require_run(row, objectives, sites)
        ranks = _ranks(rank, row, objectives, sites)
        _require_alike("on one device", [str(site.device) for site in sites])
        precisions = [str(_at_least_single(site)) for site in sites]  # of maps, and so of swaps
        _require_alike("of one precision", precisions)
        start, given = row.start or start, None
        if interventions is None:
            for site in sites:
                if isinstance(site, Site):
                    check(site, seed, row.stepwise)
        else:
            if rank == AUTO:
                raise CausalignError('rank="auto" goes by states with known values, which given interventions lack')
            run = [require_site(site, "interventions of one's own are of networks") for site in sites]
            given = given_splits(interventions, run, row, objectives, seed)
            counts = {split: min(map(len, each.values())) for split, each in given.items()}
            start = start_without_values(start)
        return cls(sites, variables, row, objectives, ranks, kind, scale, start, seed, Counts(**counts), memory, given)

    @property
    def rank(self) -> int:
        """The dimensions of the subspace, or the most of those that are to be chosen from."""
        return max(self.ranks)

    @property
    def names(self) -> list[str]:
        """What the sites are called in results: their names, numbered where one is there more than once."""
        names = [site.name for site in self.sites]
        return [f"{n} #{names[: i + 1].count(n)}" if names.count(n) > 1 else n for i, n in enumerate(names)]

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

    def draw(self, clock: Timer, listener: Callback) -> dict[str, Split]:
        """The interventions of each split, each from streams and trials of its own.

        Counterfactual latents are looked up for the splits that a search sees; the test is of behaviour alone, where
        a target can be run.
        """
        if self.given is not None:
            return {split: Split([], each) for split, each in self.given.items()}
        latent_directions = [direction for direction, objective in self.objectives.items() if objective.uses_latents]
        stepwise, splits, store = self.method.stepwise, {}, Store(self.memory)
        for done, (split, count) in enumerate(self.counts, start=1):
            tested = split == "test"
            directions = [*self.scored, *self.only_read] if tested else [*self.objectives]
            with clock("states"):
                recorded = read_activations(self.sites, count, self.seed, split, stepwise, store)
            with clock("data"):
                drawn = draw_rows(
                    self.sites,
                    self.variables,
                    directions,
                    recorded,
                    count,
                    self.seed,
                    split,
                    stepwise=stepwise,
                    latent_directions=self.only_read if tested else latent_directions,
                    store=store,
                )
            splits[split] = Split(recorded, drawn)
            listener(ProgressUpdate("interventions", done, 3))
        return splits

    def starting_maps(self, recorded: Sequence[Activations]) -> list[AlignmentMap]:
        """The map of each site where the search begins."""
        if self.start == "random":
            frames = [
                random_frame(site.width, self.rank, torch_stream(self.seed, "start", index))
                for index, site in enumerate(self.sites)
            ]
            return [AlignmentMap(frame, 1.0) for frame in frames]
        if self.start == "paired":
            paired = read_paired_activations(self.sites, self.counts.train, self.seed)
        else:
            paired = self.means(recorded)
        return generalized_procrustes(paired, self.rank, self.scale)

    def means(self, recorded: Sequence[Activations]) -> list[Float[Tensor, "values _"]]:
        """The mean states of each site by value of the variable."""
        keys = [site.task.keys(variable.name) for site, variable in zip(self.sites, self.variables, strict=True)]
        return class_means(recorded, keys, self.variables)

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
        raise CausalignError(f"inaccessible is the index of one of {sites} sites, found {inaccessible}")
    if eps is not None and not 0 < eps < math.inf:
        raise CausalignError(f"eps must be positive and finite, found {eps}")
    roles = Roles(sites, sites - 1 if inaccessible is None else inaccessible % sites, _EPS if eps is None else eps)
    both = len({objective.runs_target for objective in row.plan(roles).values()}) == 2
    if not both and (inaccessible is not None or eps is not None):
        raise CausalignError(f"{row.name} runs all of its networks or none: inaccessible and eps are for clmas")
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
            raise CausalignError(f'rank="auto" goes by the IIA in the search, and {row.name} has none')
        return (min(site.width for site in sites),)
    ranks: list[Any] = list(rank) if isinstance(rank, list | tuple) else [rank]
    if not ranks:
        raise CausalignError("rank is a number, several to choose from, or auto; found an empty list")
    for site in sites:
        for each in ranks:
            require_rank(each, site.width, site.name)
    return tuple(dict.fromkeys(int(each) for each in ranks))


def _require_alike(what: str, found: Sequence[str]) -> None:
    if len(set(found)) > 1:
        raise CausalignError(f"sites must be {what}; found {', '.join(found)}")


def _one_each(variable: str | Variable | Sequence[str | Variable], sites: Sequence[Readable]) -> list[Variable]:
    """One variable a site, each known to its task, and each settable from every other."""
    named = [variable] * len(sites) if isinstance(variable, str | Variable) else variable
    variables = [Variable.of(each) for each in named]
    if len(variables) != len(sites):
        raise CausalignError(f"name one variable, or one for each of the {len(sites)} sites; found {len(variables)}")
    for site, each in zip(sites, variables, strict=True):
        if isinstance(site, Recording) and each.name not in (FULL, *site.task.variables):
            raise unknown(f"variable of {site.name}", each.name, (FULL, *site.task.variables))
        try:
            require_settable(sites[0].task, variables[0].name, site.task, each.name)
        except CausalignError as error:
            differ = isinstance(variable, str | Variable) and site.task.name != sites[0].task.name
            raise CausalignError(
                f"{error}; tasks differ: name one variable for each" if differ else str(error)
            ) from None
    return variables
