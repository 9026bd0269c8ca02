"""What a study is: the comparisons of one figure, the claims that they decide, and how they are drawn."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

from causalign.alignment.schema import AlignmentSummary, Score
from causalign.alignment.spec import AlignmentSpec
from causalign.errors import InvalidArgument
from causalign.reproduction.points import (
    AlignmentOutcome,
    AlignmentPoint,
    Comparison,
    Outcome,
    SimilarityOutcome,
    SimilarityPoint,
)
from causalign.search.config import SearchConfig
from causalign.search.rank_selection import BestRank

WORST = "worst"
Read = str | tuple[int, int]
"""Which figure of an outcome counts: the worst direction, one direction by its sites, or a measure by its name."""


@dataclass(frozen=True)
class Budget:
    """How long searches go on."""

    search: SearchConfig
    trial_steps: int = 100
    """Steps at each rank, after which only the best goes on."""
    start: str | None = None
    """The maps to begin at."""


BUDGETS: Mapping[str, Budget] = {
    "settled": Budget(
        SearchConfig(
            max_steps=600,
            eval_every=20,
            patience=4,
            min_delta=0.005,
            target_iia=0.998,
            batch_size=128,
            initial_batch_size=128,
        )
    ),
    "paper": Budget(
        SearchConfig(
            max_steps=20_000,
            eval_every=20,
            patience=1_000,
            optimizer="adam",
            learning_rate=1e-3,
            batch_size=512,
            initial_batch_size=512,
        ),
        trial_steps=20_000,
        start="random",
    ),
}
"""How long searches go on: until the worst direction stops improving, or for the paper's 1,000 epochs (A.2), which end
sooner only where nothing is left to be gained on validation."""


@dataclass(frozen=True)
class Protocol:
    """What is run: the paper's protocol, unless stated otherwise."""

    networks: str = "zoo:"
    """What stands before `TASK/ARCHITECTURE/SEED` in the references."""
    seeds: tuple[int, ...] = (0, 1)
    more: tuple[int, ...] = (2, 3)
    """Additional seeds, for comparisons within a kind of network."""
    ranks: tuple[int, ...] = (16, 32)
    """The better of them counts, on validation."""
    sweep: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64, 128)
    controlled: tuple[int, ...] = (4, 16)
    """The ranks of the sweep that controls stand beside."""
    controls: bool = True
    budget: Budget = Budget(SearchConfig())
    """How long searches go on."""
    fields: Mapping[str, Any] = field(default_factory=dict)
    """Further fields of every `AlignmentConfig`, such as the number of rows."""
    language_model: str = ""
    """The reference of a language model that does the task in words; none, and its row is left out by name."""
    width: int = 128
    """Of the GRUs: full rank."""
    similarity: Mapping[str, int] = field(default_factory=dict)
    """Entries of `Compared` that say on how many samples."""

    def within(self, network: str, at: str) -> list[tuple[str, str]]:
        """The pairs of one kind of network: every seed with every additional one."""
        return [(self.site(network, a, at), self.site(network, b, at)) for a, b in product(self.seeds, self.more)]

    def between(self, a: str, b: str, at: str) -> list[tuple[str, str]]:
        """The pairs of two kinds of network: every seed with every seed."""
        return [(self.site(a, i, at), self.site(b, j, at)) for i, j in product(self.seeds, self.seeds)]

    def site(self, network: str, seed: int, at: str) -> str:
        """A site's reference."""
        return f"{self.networks}{network}/{seed}@{at}"

    def align(
        self,
        sites: Sequence[str],
        ranks: Sequence[int] | None = None,
        controls: bool = True,
        **fields: Any,
    ) -> AlignmentPoint:
        """Return the alignment of these sites; `fields` of its configuration differ from the protocol's.

        Raises:
            InvalidArgument: A field is unknown or wrong.
        """
        usual: dict[str, Any] = {"search": self.budget.search, "start": self.budget.start, **self.fields}
        own = {
            "sites": tuple(sites),
            "controls": self.controls and controls,
            "rank": BestRank(tuple(ranks or self.ranks), self.budget.trial_steps),
        }
        return AlignmentPoint(spec=AlignmentSpec(**(usual | fields | own)))

    @property
    def without_target(self) -> SearchConfig:
        """The search of methods that choose by the validation loss, so that no IIA can end it."""
        return self.budget.search.replace(target_iia=None)

    def compare(self, sites: tuple[str, str]) -> SimilarityPoint:
        """The correlational measures of these sites."""
        return SimilarityPoint.model_validate({"sites": sites, **self.similarity})


@dataclass(frozen=True)
class StudyRow:
    """A row of the table: one metric of some pairs of networks that differ by their seeds alone."""

    panel: str
    comparison: str
    site: str
    metric: str
    comparisons: tuple[Comparison, ...]
    read: Read = WORST
    note: str = ""
    """What stands in the place of a verdict."""

    @property
    def name(self) -> tuple[str, str, str, str]:
        """What it is called in the table."""
        return self.panel, self.comparison, self.site, self.metric

    def values(self, outcomes: Mapping[str, Outcome]) -> Float[np.ndarray, " pairs"]:
        """Its figure in each of the pairs."""
        return np.array([_value(outcomes[each.key], self.read) for each in self.comparisons])

    def no_swap(self, outcomes: Mapping[str, Outcome]) -> float | None:
        """The mean over pairs of the floor: the same interventions of the same direction, nothing swapped.

        None where there is no IIA, or the direction was not among the trained.
        """
        floors = [_floor(outcomes[each.key], self.read) for each in self.comparisons]
        known = [floor for floor in floors if floor is not None]
        return float(np.mean(known)) if known else None

    def controls(self, outcomes: Mapping[str, Outcome]) -> dict[str, tuple[float, float]]:
        """The means over pairs of each control, and of the figure that it is to be compared with.

        That is of the same directions: an untrained network is scored into the others only.
        """
        rows = [_controls(outcomes[each.key], self.read) for each in self.comparisons]
        return {
            name: (float(np.mean([row[name][0] for row in rows])), float(np.mean([row[name][1] for row in rows])))
            for name in rows[0]
        }


def _value(outcome: Outcome, read: Read) -> float:
    if isinstance(outcome, SimilarityOutcome):
        return outcome.measures[str(read)]
    record = outcome.record
    (score,) = _of(_direction(record, read), (*record.iia, *record.untrained))
    return score


def _floor(outcome: Outcome, read: Read) -> float | None:
    """The score of the direction that counts, without a swap."""
    if isinstance(outcome, SimilarityOutcome):
        return None
    direction = _direction(outcome.record, read)
    found = [score.no_swap for score in outcome.record.iia if (score.source, score.target) == direction]
    return found[0] if found else None


def _direction(record: AlignmentSummary, read: Read) -> tuple[str, str]:
    """The source and the target of the figure that counts."""
    if read == WORST:
        least = min(record.iia, key=lambda score: score.iia)
        return least.source, least.target
    source, target = (record.sites[int(index)].name for index in read)
    return source, target


def _of(direction: tuple[str, str], scores: Sequence[Score]) -> list[float]:
    return [score.iia for score in scores if (score.source, score.target) == direction]


def _controls(outcome: Outcome, read: Read) -> dict[str, tuple[float, float]]:
    """Each control's figure, and ours of the same directions."""
    if not isinstance(outcome, AlignmentOutcome) or not outcome.record.controls:
        return {}
    record, ours = outcome.record, [score.iia for score in outcome.record.iia]
    if read == WORST:
        return {
            control: (min(scores), min(record.comparable(ours, control)))
            for control, scores in record.control_scores.items()
        }
    source, target = _direction(record, read)
    lost = target == record.sites[0].name != source  # the untrained network is wrong, whatever is swapped into it
    return {
        control: (scores[at].iia, ours[at])
        for control, scores in record.by_control.items()
        for at, score in enumerate(record.iia)
        if (score.source, score.target) == (source, target) and not (control == "untrained" and lost)
    }


class Values:
    """The figures of a study's rows, pair by pair, for rules to look at."""

    def __init__(self, measured: Sequence[StudyRow], outcomes: Mapping[str, Outcome]) -> None:
        self._rows = [(each.name, each.values(outcomes)) for each in measured]

    def __call__(self, **named: str) -> Float[np.ndarray, " pairs"]:
        """The pairs of the one row with this panel, comparison, site or metric."""
        fields = ("panel", "comparison", "site", "metric")
        found = [values for name, values in self._rows if named.items() <= dict(zip(fields, name, strict=True)).items()]
        if len(found) != 1:
            raise InvalidArgument(f"{len(found)} rows are {named}, one is needed")
        return found[0]


@dataclass(frozen=True)
class Claim:
    """What the paper says that a figure shows, and the rule, written before any run, by which ours bears it out."""

    text: str
    rule: str
    """The rule in words."""
    holds: Callable[[Values], bool]
    rows: Callable[[StudyRow], bool]
    """Which rows of the table carry its verdict."""


@dataclass(frozen=True)
class Panel:
    """How a panel is drawn."""

    name: str
    title: str
    groups: Literal["comparison", "site"] = "comparison"
    """What stands along the horizontal axis; metrics are told apart by colour."""
    axis: str = ""
    """What the horizontal axis says."""
    lines: bool = False
    """Whether the groups are numbers, and the metrics lines over them."""


@dataclass(frozen=True)
class Study:
    """One figure of the paper."""

    name: str
    title: str
    measured: Callable[[Protocol], Sequence[StudyRow]]
    claims: Sequence[Claim]
    panels: Sequence[Panel]


def sem(values: Float[np.ndarray, " pairs"]) -> float:
    """The standard error of the mean over pairs; NaN for one."""
    return float(np.std(values, ddof=1) / np.sqrt(len(values))) if len(values) > 1 else float("nan")
