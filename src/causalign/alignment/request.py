"""The request of an alignment: its dataset and configuration, checked against each other before the search."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from causalign.alignment.config import CLOSED_FORM, DRAWN, FEATURES, STARTS, AlignmentConfig
from causalign.alignment.schema import Counts
from causalign.callbacks import Callback
from causalign.counterfactuals.dataset import Counterfactuals
from causalign.counterfactuals.direction import Direction
from causalign.counterfactuals.row_source import SPLITS, RowRequest
from causalign.counterfactuals.rows import CounterfactualRows
from causalign.counterfactuals.variables import Variables
from causalign.errors import InvalidArgument, lookup, unknown
from causalign.maps import parametrization
from causalign.maps.base import AlignmentMap, TrainableMap, block_columns, random_frame, require_rank
from causalign.maps.constant_map import ConstantMap
from causalign.maps.feature_basis import FeatureBasis
from causalign.maps.position_map import PositionMap
from causalign.maps.trainable_position_map import TrainablePositionMap
from causalign.methods.base import Method
from causalign.methods.registry import require_own_name
from causalign.random_streams import torch_stream
from causalign.readings.shared_readings import SharedReadings
from causalign.recordings.affine_transformer import AffineTransformer
from causalign.recordings.preprocessing import Preprocessing
from causalign.run_context import RunContext
from causalign.search.config import SearchConfig
from causalign.search.initialisation import block_maps, generalized_procrustes
from causalign.search.objectives import Objective
from causalign.search.rank_selection import RankSelection
from causalign.sites.base import Site, require_site
from causalign.sites.readable import Readable
from causalign.sites.recordings.recording import Recording
from causalign.storage import DEFAULT_BUDGET, release_freed_memory
from causalign.timer import Timer

_DIFFER = 1e-6  # the smallest difference between mean states, as a share of their size, that is not rounding


@dataclass(frozen=True)
class Request:
    """The dataset and the configuration of an alignment, checked against each other."""

    data: Counterfactuals
    config: AlignmentConfig
    objectives: Mapping[Direction, Objective]
    """The objective of each trained direction."""
    rank: RankSelection
    start: str
    """The start of the search: `closed-form`, `paired`, `random`, or `features` where the method has its own."""
    search: SearchConfig
    notes: tuple[str, ...] = ()
    """Notes on data that were left out, assumed or filled in, one sentence each."""

    @classmethod
    def checked(cls, data: Counterfactuals | Sequence[Readable] | Readable, config: AlignmentConfig) -> "Request":
        """Check a dataset (or sites) and a configuration, and return the request.

        Raises:
            InvalidArgument: A field of the configuration does not fit the data, or a site fails its checks.
        """
        rows = dataset_of(data, config)
        sites, method = rows.sites, config.method
        objectives = _objectives(method, len(sites))
        _require_run(method, objectives, sites)
        _require_features(config, sites)
        _require_positions(config, rows)
        rank = (method.rank or config.rank).of_variables(rows.variables.names)
        _require_ranks(rank, method, objectives, sites)
        _require_alike("on one device", [str(site.device) for site in sites])
        precisions = [str(_at_least_single(site)) for site in sites]  # of maps, and so of swaps
        _require_alike("of one precision", precisions)
        _require_fitting_search(config, objectives)
        rows.check(method.stepwise, config.seed)
        if rows.holdout and method.stepwise:
            raise InvalidArgument(
                f"{method.label} swaps all positions up to one, at which values of holdout_values occur: swap single "
                "states"
            )
        start, notes = _start(rows, config)
        if len(rows.variables) > 1:
            _require_masked_swaps(method)
            _require_start_of_blocks(start, method)
        search = config.search if method.searches else config.search.replace(max_steps=0)
        return cls(rows, config, objectives, rank, start, search, (*rows.notes, *notes))

    @property
    def method(self) -> Method:
        """The method."""
        return self.config.method

    @property
    def seed(self) -> int:
        """The seed of all random draws."""
        return self.config.seed

    @property
    def subspaces(self) -> int:
        """The number of subspaces of each site: one, or one for each position of a row."""
        return self.data.swaps if self.config.subspace_per_position else 1

    @property
    def full_rank(self) -> int:
        """The smallest width of the sites."""
        return min(site.width for site in self.sites)

    @property
    def sites(self) -> tuple[Readable, ...]:
        """The sites."""
        return self.data.sites

    @property
    def variables(self) -> Variables:
        """The variables of the rows."""
        return self.data.variables

    @property
    def names(self) -> list[str]:
        """The names of the sites in results."""
        return self.data.names

    @property
    def counts(self) -> Counts:
        """The rows of each direction, by split."""
        return Counts(**self.data.counts)

    def context(self, timer: Timer, callback: Callback, readings: SharedReadings | None = None) -> RunContext:
        """Return the context of a run of this request, with the store of the dataset."""
        if readings is not None:
            readings.refresh()
        return RunContext(self.seed, self.data.store, callback, timer, readings=readings)

    @property
    def preprocessing(self) -> tuple[Preprocessing | AffineTransformer | None, ...]:
        """The preprocessing of each recording. `None` for sites of networks."""
        return tuple(site.preprocessing if isinstance(site, Recording) else None for site in self.sites)

    @property
    def scored(self) -> list[Direction]:
        """The directions with an IIA, whose target can be run. Trained directions come first."""
        directions = [*self.objectives, *self.method.untrained(len(self.sites))]
        return [direction for direction in directions if isinstance(self.sites[direction.target], Site)]

    @property
    def only_read(self) -> list[Direction]:
        """The trained directions into recordings, which are scored by the latent objective instead."""
        return [direction for direction in self.objectives if direction not in self.scored]

    def rows(self, context: RunContext) -> dict[str, dict[Direction, CounterfactualRows]]:
        """Return the rows of each split by direction.

        Train and validation rows have counterfactual latents where the objective uses them. Test rows have them only
        where the target cannot be run.
        """
        latents = [direction for direction, objective in self.objectives.items() if objective.uses_latents]
        splits = {}
        context.report("counterfactuals", 0, len(SPLITS))
        for done, split in enumerate(SPLITS, start=1):
            tested = split == "test"
            directions = [*self.scored, *self.only_read] if tested else [*self.objectives]
            wanted = frozenset(self.only_read if tested else latents)
            splits[split] = self.data.rows(RowRequest(split, tuple(directions), self.method.stepwise, wanted), context)
            release_freed_memory()  # what reading held besides its tables
            context.report("counterfactuals", done, len(SPLITS))
        return splits

    def starting_maps(self, rank: int, context: RunContext) -> list[AlignmentMap]:
        """Return the map of each site from which a search at a rank starts: of all features, if the method has them.

        A random start has so many of the features.
        """
        if self.method.basis is not None:
            return self._feature_maps(self.method.basis, rank, context)
        if not self.config.subspace_per_position:
            return self._maps_at(None, rank, context)
        by_position = [self._maps_at(position, rank, context) for position in range(self.subspaces)]
        return [PositionMap.stacked(of_site) for of_site in zip(*by_position, strict=True)]

    def _maps_at(self, position: int | None, rank: int, context: RunContext) -> list[AlignmentMap]:
        """Return the maps of one of several positions or, for `None`, of all."""
        columns = block_columns(self.rank.blocks)
        if len(columns) > 1 and self.start == CLOSED_FORM:
            means = [self._at(position, self.means(context, variable)) for variable in range(len(columns))]
            generators = [self._stream(index, position) for index in range(len(self.sites))]
            return block_maps(means, self.rank.blocks, self.config.scale, generators)
        return [replace(each, blocks=columns) for each in self._whole_maps(position, rank, context)]

    def _whole_maps(self, position: int | None, rank: int, context: RunContext) -> list[AlignmentMap]:
        """Return the maps of a subspace without blocks."""
        if self.start == "random":
            frames = [
                random_frame(site.width, rank, self._stream(index, position)) for index, site in enumerate(self.sites)
            ]
            return [AlignmentMap(frame, 1.0) for frame in frames]
        states = self._at(position, self._paired_states(context))
        if len(states) == 1:  # within one network the mean cancels in h_s - h_t, and would take a column
            centered = states[0].double() - states[0].double().mean(0)
            if float(centered.norm()) > _DIFFER * float(states[0].norm()):
                states = [centered]  # the only reference to the states themselves goes: they may be large
        return generalized_procrustes(states, rank, self.config.scale)

    def _paired_states(self, context: RunContext) -> Sequence[Float[Tensor, "states _"]]:
        """Return states of each site that have aligned rows: of the same inputs, or the means of the same classes."""
        return self.data.paired_states(context) if self.start == "paired" else self.means(context)

    def _at(
        self, position: int | None, states: Sequence[Float[Tensor, "states _"]]
    ) -> list[Float[Tensor, "at_position _"]]:
        """Return the states of one position, of states that come in turn for all positions of a row or a class."""
        return [each if position is None else each[position :: self.subspaces] for each in states]

    def _stream(self, site: int, position: int | None) -> torch.Generator:
        """Return the generator of the start of a site and, where each has its own, of a position."""
        return torch_stream(self.seed, "start", site, *([] if position is None else [position]))

    def _feature_maps(self, basis: FeatureBasis, rank: int, context: RunContext) -> list[AlignmentMap]:
        maps = list[AlignmentMap]()
        for index, site in enumerate(self.sites):

            def states(index: int = index) -> Float[Tensor, "states width"]:
                return self.data.paired_states(context)[index]

            whole = basis.feature_map(site.width, states)
            order = torch.randperm(whole.rank, generator=torch_stream(self.seed, "start", index))
            kept = torch.isin(torch.arange(whole.rank), order[:rank])
            maps.append(whole.part(kept.to(whole.frame.device)) if self.start == "random" else whole)
        return maps

    def means(self, context: RunContext, variable: int = 0) -> list[Float[Tensor, "values _"]]:
        """Return the mean states of each site by value of a variable (given by its index), or by label."""
        return self.data.class_means(self.method.stepwise, context, variable)

    def trainable(self, maps: Sequence[AlignmentMap]) -> list[TrainableMap]:
        """Return trainable maps that start at `maps`, on each site's device, in its precision or at least float32."""
        kind = parametrization(self.config.parametrization)
        there = [each.to(site.device, _at_least_single(site)) for each, site in zip(maps, self.sites, strict=True)]
        if self.method.basis is not None:
            return [ConstantMap(each) for each in there]

        def trainable(start: AlignmentMap) -> TrainableMap:
            return kind(start, self.config.scale)

        return [
            TrainablePositionMap(each, trainable) if isinstance(each, PositionMap) else trainable(each)
            for each in there
        ]


def dataset_of(data: Counterfactuals | Sequence[Readable] | Readable, config: AlignmentConfig) -> Counterfactuals:
    """Return the dataset itself or, for sites, a dataset that is drawn from their tasks.

    Raises:
        InvalidArgument: The argument is a dataset, and a field is set that configures how datasets are drawn.
    """
    if not isinstance(data, Counterfactuals):
        unnamed = config.variable == AlignmentConfig.model_fields["variable"].default
        return Counterfactuals.from_task(
            data,
            variable=config.variable,
            variables=tuple(config.rank.blocks) if config.rank.blocks and unnamed else None,
            n_train=config.n_train,
            n_validation=config.n_validation,
            n_test=config.n_test,
            holdout_values=config.holdout_values,
            seed=config.seed,
            memory=DEFAULT_BUDGET if config.memory is None else config.memory,
        )
    for name in DRAWN:
        if getattr(config, name) != AlignmentConfig.model_fields[name].default:
            raise InvalidArgument(
                f"{name} configures how a dataset is drawn from tasks, but one is supplied: leave {name} out"
            )
    return data if config.memory is None else data.with_memory(config.memory)


def _objectives(method: Method, n_sites: int) -> Mapping[Direction, Objective]:
    """Return the objective of each trained direction, once the method is found to be sound."""
    require_own_name(type(method))
    method.require_sites(n_sites)
    objectives = {Direction(*direction): each for direction, each in method.objectives(n_sites).items()}
    if not objectives:
        raise InvalidArgument(f"{method.label} trains no direction among {n_sites} sites")
    for direction in (*objectives, *method.untrained(n_sites)):
        if not all(0 <= site < n_sites for site in direction):
            raise InvalidArgument(f"{method.label} has the direction {tuple(direction)}, and there are {n_sites} sites")
    return objectives


def _start(data: Counterfactuals, config: AlignmentConfig) -> tuple[str, tuple[str, ...]]:
    """Return the start of the search, and a note if the default is not available."""
    own = config.method.start if config.method.basis is None else FEATURES
    if own is not None and own not in (*STARTS, FEATURES):
        raise unknown(f"start of {config.method.label}", own, STARTS)
    if own is not None and config.start not in (None, own):
        raise InvalidArgument(f"{config.method.label} starts from {own}: leave start={config.start!r} out")
    start = own or config.start or CLOSED_FORM
    if start != CLOSED_FORM or not (reason := data.without_classes(config.method.stepwise)):
        return start, ()
    if config.start == CLOSED_FORM or config.rank.compares_iia:
        raise InvalidArgument(reason)
    return "random", (f"The start is random: {reason}.",)


def _require_run(method: Method, objectives: Mapping[Direction, Objective], sites: Sequence[Readable]) -> None:
    """Check that no recording has to be run."""
    run = [sites[direction.target] for direction, objective in objectives.items() if objective.runs_target]
    for site in run:
        require_site(site, f"{method.label} runs it: use clmas or latent-stitch, which need not")


def _require_ranks(
    rank: RankSelection, method: Method, objectives: Mapping[Direction, Objective], sites: Sequence[Readable]
) -> None:
    """Check that every rank fits every site, and that the search has an IIA if ranks are compared by it."""
    if rank.trains and not method.searches:
        raise InvalidArgument(f"{rank} is learned in the search, and {method.label} has none")
    if rank.compares_iia and not (method.searches and any(each.runs_target for each in objectives.values())):
        raise InvalidArgument(f"{rank} compares ranks by the IIA in the search, and {method.label} has none")
    for site in sites:
        for each in rank.ranks(min(site.width for site in sites)):
            require_rank(each, site.width, site.name)


def _require_positions(config: AlignmentConfig, data: Counterfactuals) -> None:
    """Check that rows have several positions, if each is to have a subspace of its own."""
    if not config.subspace_per_position:
        return
    if config.method.stepwise:
        raise InvalidArgument(
            f"{config.method.label} swaps all positions up to one in one subspace: leave subspace_per_position out"
        )
    if data.swaps < 2:
        raise InvalidArgument(
            "subspace_per_position gives each of several positions of a row a subspace of its own, and the rows have "
            "one position each: leave it out, or give several, such as position=(1, 4)"
        )


def _require_features(config: AlignmentConfig, sites: Sequence[Readable]) -> None:
    """Check that the features fit the sites, and that nothing is set that only matters to maps that are trained."""
    method, usual = config.method, AlignmentConfig()
    if method.basis is None:
        return
    for site in sites:
        method.basis.require_width(site.width, site.name)
    for part, default, names in (
        (config, usual, ("parametrization", "scale", "subspace_per_position", *(("rank",) if method.rank else ()))),
        (config.search, usual.search, ("optimizer", "learning_rate")),
    ):
        for name in names:
            if getattr(part, name) != getattr(default, name):
                raise InvalidArgument(
                    f"{method.label} trains no map and finds how many features are swapped: leave {name} out"
                )


def _require_masked_swaps(method: Method) -> None:
    """Check that the method's intervention changes nothing where the target's map is masked.

    Of several variables, each row swaps the block of its own: the others are masked.
    """
    frame = torch.eye(3)[:, :2]
    target, source = torch.tensor([[1.0, 2.0, 3.0]]), torch.tensor([[3.0, 1.0, 2.0]])
    masked = AlignmentMap(frame, 1.0, torch.zeros(1, 2))
    if not torch.equal(method.intervention(target, source, masked, AlignmentMap(frame, 1.0)), target):
        raise InvalidArgument(
            f"{method.label} changes the target's state outside the block of a row's variable: several variables need "
            "an interchange, as mas and das have it"
        )


def _require_start_of_blocks(start: str, method: Method) -> None:
    """Check that the start tells the blocks of several variables apart, or is random."""
    if start == "paired":
        raise InvalidArgument(
            f"a paired start of {method.label} does not tell variables apart: take closed-form or random"
        )


def _require_fitting_search(config: AlignmentConfig, objectives: Mapping[Direction, Objective]) -> None:
    """Check that the optimizer trains the parametrization, and that `target_iia` can be reached."""
    kind, search = parametrization(config.parametrization), config.search
    if config.method.searches:
        (config.method.rank or config.rank).require_steps(search)
    if search.optimizer is not None:
        lookup(f"optimizer of {kind.name}", search.optimizer, kind.learning_rates)
    if search.target_iia is None:
        return
    if config.rank.compares_iia:
        raise InvalidArgument(f"{config.rank} compares the best IIA of each rank: leave out target_iia")
    if not all(objective.runs_target for objective in objectives.values()):
        raise InvalidArgument(
            f"{config.method.label} selects maps by the validation loss, as a target is not run: leave out target_iia"
        )


def _at_least_single(site: Readable) -> torch.dtype:
    return torch.promote_types(site.dtype, torch.float32)


def _require_alike(what: str, found: Sequence[str]) -> None:
    if len(set(found)) > 1:
        raise InvalidArgument(f"sites must be {what}; found {', '.join(found)}")
