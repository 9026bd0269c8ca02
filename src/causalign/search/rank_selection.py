"""How the rank of the subspace is chosen: a number, one for each variable, the best of several, or the smallest."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from operator import index
from types import MappingProxyType
from typing import Any, SupportsIndex, TypeGuard

import torch
from jaxtyping import Float
from torch import Tensor

from causalign.callbacks import Callback
from causalign.errors import InvalidArgument, lookup
from causalign.maps.base import AlignmentMap
from causalign.maps.gate import Gate
from causalign.maps.position_map import PositionMap
from causalign.search.config import SearchConfig
from causalign.search.search import Search, SearchResult
from causalign.search.stop_reason import StopReason


@dataclass(frozen=True)
class RankTrial:
    """A rank that was tried, and its result on validation."""

    rank: int
    worst_iia: float | None
    steps: int
    stopped: StopReason


@dataclass(frozen=True)
class RankSearches:
    """What a rank selection works with: searches from given maps, and the maps to begin at."""

    begin: Callable[[Sequence[AlignmentMap]], Search]
    """Returns a search, at the rank of these maps, that has taken no step yet."""
    starting_maps: Callable[[int], list[AlignmentMap]]
    """Returns the maps of a rank to begin at."""
    class_means: Callable[[], Sequence[Float[Tensor, "classes _"]]]
    """Returns the mean states of each class, for every network in one order."""
    full_rank: int
    """The least width of the sites."""
    config: SearchConfig
    callback: Callback
    begin_gated: Callable[[Sequence[AlignmentMap], Gate, int], Search]
    """Returns a search of these maps and of a gate that they share, in so many steps."""

    def learn(self, maps: Sequence[AlignmentMap], gate: Gate, steps: int) -> SearchResult:
        """Learn a gate to the end of its temperatures, and return the maps of the last step with a hard gate."""
        search = self.begin_gated(maps, gate, steps)
        search.go_on(steps, self.callback)
        return search.latest

    def run(self, maps: Sequence[AlignmentMap]) -> SearchResult:
        """Search from these maps to the end."""
        return self.begin(maps).go_on(self.config.max_steps, self.callback)


class RankSelection(ABC):
    """How the rank is chosen."""

    compares_iia: bool = False
    """Whether ranks are compared by their IIA, so that a method without a search, or without a run, has none."""
    trial_steps: int = 0
    """Steps that each further rank takes."""
    trains: bool = False
    """Whether the rank is found by gradient descent, so that a method without a search has none."""
    keeps_last: bool = False
    """Whether the maps of the last evaluation are kept, in place of those of the best."""
    blocks: Mapping[str, int] = MappingProxyType({})
    """The rank of the block of each variable. Empty where the whole subspace is that of one variable."""

    @abstractmethod
    def ranks(self, full_rank: int) -> tuple[int, ...]:
        """Return the ranks that searches begin at, in the order of trial."""

    def require_steps(self, config: SearchConfig) -> None:  # noqa: B027 (most have none)
        """Check that a search has the steps that the selection takes.

        Raises:
            InvalidArgument: It has not.
        """

    def gate(self, rank: int) -> Gate | None:  # noqa: ARG002
        """Return a new gate of the coordinates of a rank, where the selection trains one."""
        return None

    @abstractmethod
    def find(self, searches: RankSearches) -> tuple[SearchResult, list[RankTrial]]:
        """Return what was found at the chosen rank, and the ranks that were tried where there was a choice."""

    @property
    @abstractmethod
    def declaration(self) -> int | dict[str, Any]:
        """The selection as files have it: a number, or a table of its parameters."""

    def of_variables(self, variables: Sequence[str]) -> "RankSelection":
        """Return the selection for a dataset with these variables.

        Raises:
            InvalidArgument: There are several, and the selection has no rank for each.
        """
        if len(variables) > 1:
            example = ", ".join(f"{name!r}: 8" for name in variables)
            raise InvalidArgument(
                f"the dataset has the variables {', '.join(variables)}, and each needs a rank of its own, such as "
                f"rank={{{example}}}; found rank = {self.declaration}"
            )
        return self

    def settled(self, rank: int) -> "RankSelection":
        """Return the selection with which the controls are scored, once this rank was found."""
        return FixedRank(rank)


@dataclass(frozen=True)
class FixedRank(RankSelection):
    """One rank.

    Attributes:
        rank: The dimensions of the subspace.

    Raises:
        InvalidArgument: It is not a whole number above 0.
    """

    rank: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "rank", whole_number("rank", self.rank))

    def ranks(self, full_rank: int) -> tuple[int, ...]:  # noqa: ARG002
        """Return the rank."""
        return (self.rank,)

    def find(self, searches: RankSearches) -> tuple[SearchResult, list[RankTrial]]:
        """Search at this rank."""
        return searches.run(searches.starting_maps(self.rank)), []

    @property
    def declaration(self) -> int:
        """The number."""
        return self.rank


@dataclass(frozen=True)
class Blocks(RankSelection):
    """A rank for each of several variables: disjoint blocks of the columns of one orthonormal frame.

    A row swaps the block of its variable only. The rank of the whole is the sum.

    Attributes:
        blocks: The dimensions of the block of each variable, by its name.

    Raises:
        InvalidArgument: There is no variable, or a rank is not a whole number above 0.
    """

    blocks: Mapping[str, int] = field(hash=False)

    def __post_init__(self) -> None:
        if not isinstance(self.blocks, Mapping) or not self.blocks:
            raise InvalidArgument(
                f"Blocks takes a rank for each variable, such as {{'answer': 8}}; found {self.blocks!r}"
            )
        ranks = {str(name): whole_number(f"the rank of {name!r}", rank) for name, rank in self.blocks.items()}
        object.__setattr__(self, "blocks", ranks)

    def ranks(self, full_rank: int) -> tuple[int, ...]:
        """Return the sum.

        Raises:
            InvalidArgument: The sum exceeds the least width of the sites.
        """
        total = sum(self.blocks.values())
        if total > full_rank:
            terms = " + ".join(f"{rank} ({name})" for name, rank in self.blocks.items())
            raise InvalidArgument(f"the ranks of the blocks sum to {terms} = {total}, above the width, {full_rank}")
        return (total,)

    def find(self, searches: RankSearches) -> tuple[SearchResult, list[RankTrial]]:
        """Search at these ranks."""
        return searches.run(searches.starting_maps(sum(self.blocks.values()))), []

    @property
    def declaration(self) -> dict[str, Any]:
        """The rank of each variable, in a table of its own: a variable may be called as a parameter is."""
        return {"blocks": dict(self.blocks)}

    def of_variables(self, variables: Sequence[str]) -> "Blocks":
        """Return the same blocks in the order of a dataset's variables.

        Raises:
            InvalidArgument: A block is of no variable of the dataset (near matches are named), or one has none.
        """
        for name in self.blocks:
            lookup("variable of rank", name, {each: each for each in variables})
        if missing := [name for name in variables if name not in self.blocks]:
            raise InvalidArgument(
                f"rank names {', '.join(self.blocks)}, and the dataset has {', '.join(missing)} as well: give each "
                "variable a rank, or make the dataset of fewer variables"
            )
        return Blocks({name: self.blocks[name] for name in variables})

    def settled(self, rank: int) -> "Blocks":  # noqa: ARG002
        """Return the blocks."""
        return self


@dataclass(frozen=True)
class BestRank(RankSelection):
    """The best of several ranks on validation.

    Each is searched for some steps, and only the best goes on. No further rank is tried once one has reached
    `SearchConfig.target_iia`, or leaves less to be gained than `SearchConfig.min_delta`.

    Attributes:
        candidates: The ranks, in the order of trial.
        trial_steps: Steps after which only the best goes on.

    Raises:
        InvalidArgument: There is no rank, one is not a whole number above 0, or `trial_steps` is not.
    """

    candidates: Sequence[int]
    trial_steps: int = 100

    def __post_init__(self) -> None:
        if not isinstance(self.candidates, list | tuple) or not self.candidates:
            raise InvalidArgument(
                f"BestRank takes a list of ranks, such as BestRank([16, 32]); found {self.candidates!r}"
            )
        ranks = tuple(dict.fromkeys(whole_number("rank", rank) for rank in self.candidates))
        object.__setattr__(self, "candidates", ranks)
        object.__setattr__(self, "trial_steps", whole_number("trial_steps", self.trial_steps))

    def ranks(self, full_rank: int) -> tuple[int, ...]:  # noqa: ARG002
        """Return the candidates."""
        return tuple(self.candidates)

    def find(self, searches: RankSearches) -> tuple[SearchResult, list[RankTrial]]:
        """Search at each rank for `trial_steps`, and go on at the best."""
        begun, found = list[Search](), list[SearchResult]()
        config, callback = searches.config, searches.callback
        for rank in self.candidates:
            begun.append(searches.begin(searches.starting_maps(rank)))
            found.append(begun[-1].go_on(self.trial_steps, callback))
            if found[-1].stopped == StopReason.TARGET_IIA or _little_left(found[-1], config.min_delta):
                break
        best = 0
        for candidate, each in enumerate(found):
            if each.best.better_than(found[best].best):
                best = candidate
        found[best] = begun[best].go_on(config.max_steps, callback)
        tried = [each if candidate == best else _pruned(each, config) for candidate, each in enumerate(found)]
        return found[best], [trial_of(each) for each in tried] if len(self.candidates) > 1 else []

    @property
    def declaration(self) -> dict[str, Any]:
        """The parameters."""
        return {"candidates": list(self.candidates), "trial_steps": self.trial_steps}


@dataclass(frozen=True)
class SmallestRank(RankSelection):
    """The smallest rank whose worst direction is nearly as good as at the best rank, on validation.

    The rank is halved until the worst direction falls short by more than `tolerance`, and then bisected. The best need
    not be the full rank: there a swap replaces the whole state, and with it what a single variable leaves alone. Each
    rank begins at the maps of the least higher one that was good enough, cut to the coordinates that tell the classes
    apart best.

    Attributes:
        tolerance: How much lower than at the best rank the worst IIA may be.

    Raises:
        InvalidArgument: `tolerance` is not a share from 0 to 1.
    """

    tolerance: float = 0.01

    compares_iia = True

    def __post_init__(self) -> None:
        number = isinstance(self.tolerance, int | float) and not isinstance(self.tolerance, bool)
        if not number or not 0 <= self.tolerance <= 1:
            raise InvalidArgument(f"tolerance is a share from 0 to 1, found {self.tolerance!r}")

    def ranks(self, full_rank: int) -> tuple[int, ...]:
        """Return the full rank."""
        return (full_rank,)

    def find(self, searches: RankSearches) -> tuple[SearchResult, list[RankTrial]]:
        """Halve, then bisect."""
        found = {searches.full_rank: searches.run(searches.starting_maps(searches.full_rank))}
        while True:
            good = _smallest_good(found, self.tolerance)
            bad = max((rank for rank in found if rank < good), default=0)
            if good - bad == 1:
                break
            rank = good // 2 if bad == 0 else (good + bad) // 2
            found[rank] = searches.run(cut(found[good].maps, searches.class_means(), rank))
        best = found[_smallest_good(found, self.tolerance)]
        return best, [trial_of(each) for each in found.values()]

    @property
    def declaration(self) -> dict[str, Any]:
        """The parameters."""
        return asdict(self)


def cut(maps: Sequence[AlignmentMap], means: Sequence[Float[Tensor, "classes _"]], rank: int) -> list[AlignmentMap]:
    """Return the maps at a lower rank: the coordinates along which the mean states differ most, the same for all maps.

    Turning the aligned space of all maps alike changes no interchange; cutting it then loses the least.
    Where each position has a subspace of its own, the means come in turn for all positions, and each is cut by itself.
    """
    positions = [each.by_position for each in maps if isinstance(each, PositionMap)]
    if positions:
        count = len(positions[0])
        by_position = [
            cut([each[at] for each in positions], [mean[at::count] for mean in means], rank) for at in range(count)
        ]
        return [PositionMap.stacked(of_site) for of_site in zip(*by_position, strict=True)]
    aligned = [each.project(mean.to(each.frame)).double() for each, mean in zip(maps, means, strict=True)]
    differing = torch.cat([states - states.mean(0) for states in aligned])
    _, _, turned = torch.linalg.svd(differing, full_matrices=True)
    return [AlignmentMap(each.frame @ turned[:rank].mT.to(each.frame), each.scale) for each in maps]


def _smallest_good(found: Mapping[int, SearchResult], tolerance: float) -> int:
    """The least of the ranks that are within the tolerance of the best."""
    scores = {rank: each.best.worst_iia or 0.0 for rank, each in found.items()}
    return min(rank for rank, score in scores.items() if score >= max(scores.values()) - tolerance)


def _little_left(found: SearchResult, min_delta: float) -> bool:
    """Whether no other rank could be better by `min_delta`, where the IIA decides."""
    return found.best.validation_loss is None and (found.best.worst_iia or 0.0) >= 1 - min_delta


def _pruned(found: SearchResult, config: SearchConfig) -> SearchResult:
    """A search that was given up for another."""
    paused = found.stopped == StopReason.MAX_STEPS and found.steps < config.max_steps
    return replace(found, stopped=StopReason.PRUNED) if paused else found


def trial_of(found: SearchResult) -> RankTrial:
    """Return the rank that a search has tried, and its result on validation."""
    return RankTrial(found.maps[0].rank, found.best.worst_iia, found.steps, found.stopped)


def is_count(value: object) -> TypeGuard[SupportsIndex]:
    """Whether a value is a whole number."""
    return isinstance(value, SupportsIndex) and not isinstance(value, bool)


def whole_number(name: str, value: object) -> int:
    """Return a value as Python's whole number.

    Raises:
        InvalidArgument: It is not a whole number above 0.
    """
    if not is_count(value) or index(value) < 1:
        raise InvalidArgument(f"{name} must be a whole number, at least 1; found {value!r}")
    return index(value)
