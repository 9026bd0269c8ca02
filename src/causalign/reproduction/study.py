"""A study: the comparisons of one figure of the paper, the claims that they decide, and the panels that show them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

from causalign.alignment.schema import AlignmentSummary, Score
from causalign.alignment.spec import AlignmentSpec
from causalign.errors import InvalidArgument
from causalign.scoring.crossed_pairs import PairMean, pair_mean
from causalign.search.config import SearchConfig
from causalign.search.rank_selection import BestRank
from causalign.sweep.point import AlignmentPoint, Outcome, Point, SimilarityMeasures, SimilarityPoint

WORST = "worst"
Read = str | tuple[int, int]
"""The number of an outcome that a row reports: the IIA of the worst direction (`WORST`), the IIA of one direction (the
indices of its source and target), or a correlational measure (its name)."""


@dataclass(frozen=True)
class Budget:
    """The configuration of the searches of a reproduction.

    Attributes:
        search: The configuration of each search.
        trial_steps: The number of steps at each rank, after which only the search at the best rank continues.
        start: The start of the search: `closed-form`, `paired` or `random`. By default that of `AlignmentConfig`.
    """

    search: SearchConfig
    trial_steps: int = 100
    start: str | None = None


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
            precision="bfloat16",  # in the search alone: scores are of the networks as they are
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
"""The budgets, by name. With `settled`, a search stops when its worst direction stops improving. With `paper`, it takes
the paper's 1,000 epochs (A.2), and stops earlier only where nothing is left to be gained on validation."""


@dataclass(frozen=True)
class Protocol:
    """The protocol of a reproduction. By default the paper's."""

    networks: str = "zoo:"
    """The prefix of `TASK/ARCHITECTURE/SEED` in the references of sites."""
    seeds: tuple[int, ...] = (0, 1)
    """The seeds of each kind of network."""
    more: tuple[int, ...] = (2, 3)
    """The additional seeds for comparisons within a kind of network."""
    ranks: tuple[int, ...] = (16, 32)
    """The candidate ranks. The best on validation is reported."""
    sweep: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64, 128)
    """The ranks of figure 2d."""
    controlled: tuple[int, ...] = (4, 16)
    """The ranks of `sweep` for which controls are scored."""
    controls: bool = True
    """Whether controls are scored."""
    budget: Budget = Budget(SearchConfig())
    """The configuration of the searches."""
    fields: Mapping[str, Any] = field(default_factory=dict)
    """Further fields of every alignment's configuration, such as the number of rows."""
    language_model: str = ""
    """The reference of a language model that does the task in words. If it is empty, the table lists the row of the
    language model as left out."""
    width: int = 128
    """The width of the GRUs, which is the full rank."""
    similarity: Mapping[str, int] = field(default_factory=dict)
    """Further fields of every `SimilarityPoint`, such as the number of samples."""

    def within(self, network: str, at: str) -> list[tuple[str, str]]:
        """Return the pairs of sites within one kind of network: each of `seeds` with each of `more`.

        Args:
            network: The kind of network, as `TASK/ARCHITECTURE`.
            at: The name of the site in each network.
        """
        return [(self.site(network, a, at), self.site(network, b, at)) for a, b in product(self.seeds, self.more)]

    def between(self, a: str, b: str, at: str) -> list[tuple[str, str]]:
        """Return the pairs of sites of two kinds of network: each of `seeds` with each of `seeds`.

        Args:
            a: The first kind of network, as `TASK/ARCHITECTURE`.
            b: The second kind of network.
            at: The name of the site in each network.
        """
        return [(self.site(a, i, at), self.site(b, j, at)) for i, j in product(self.seeds, self.seeds)]

    def site(self, network: str, seed: int, at: str) -> str:
        """Return the reference of a site."""
        return f"{self.networks}{network}/{seed}@{at}"

    def align(
        self,
        sites: Sequence[str],
        ranks: Sequence[int] | None = None,
        controls: bool = True,
        **fields: Any,
    ) -> AlignmentPoint:
        """Return the declaration of the alignment of these sites.

        Args:
            sites: The references of the sites.
            ranks: The candidate ranks. By default those of the protocol.
            controls: Whether controls are scored, if the protocol has them.
            **fields: Fields of the configuration that differ from the protocol's.

        Raises:
            InvalidArgument: A field is unknown or wrong.
        """
        usual: dict[str, Any] = {"search": self.budget.search, "start": self.budget.start, **self.fields}
        own = {
            "sites": tuple(sites),
            "controls": self.controls and controls,
            "rank": BestRank(tuple(ranks or self.ranks), self.budget.trial_steps),
        }
        return AlignmentPoint(AlignmentSpec(**(usual | fields | own)))

    @property
    def without_target(self) -> SearchConfig:
        """The search of methods that select maps by the validation loss. It has no `target_iia`."""
        return self.budget.search.replace(target_iia=None)

    def compare(self, sites: tuple[str, str]) -> SimilarityPoint:
        """Return the declaration of the correlational measures of two sites."""
        return SimilarityPoint(sites, **self.similarity)


@dataclass(frozen=True)
class StudyRow:
    """A row of the table: one metric of pairs of networks that differ only in their seeds."""

    panel: str
    comparison: str
    site: str
    metric: str
    comparisons: tuple[Point, ...]
    """The comparisons, one for each pair of networks."""
    read: Read = WORST
    """The number that is read from each outcome."""
    note: str = ""
    """The note that takes the place of a verdict."""

    @property
    def name(self) -> tuple[str, str, str, str]:
        """The panel, comparison, site and metric, which identify the row within its study."""
        return self.panel, self.comparison, self.site, self.metric

    def values(self, outcomes: Mapping[str, Outcome]) -> Float[np.ndarray, " pairs"]:
        """Return the value of each pair."""
        return np.array([_value(outcomes[each.key], self.read) for each in self.comparisons])

    @property
    def members(self) -> tuple[tuple[str, ...], ...]:
        """The sites of each pair, which tell what pairs share networks."""
        return tuple(each.members for each in self.comparisons)

    def no_swap(self, outcomes: Mapping[str, Outcome]) -> float | None:
        """Return the mean over pairs of the baseline: the score of the same rows of the same direction with no swap.

        It is `None` if the metric is no IIA, or the direction was not trained.
        """
        baselines = [_baseline(outcomes[each.key], self.read) for each in self.comparisons]
        known = [baseline for baseline in baselines if baseline is not None]
        return float(np.mean(known)) if known else None

    def controls(self, outcomes: Mapping[str, Outcome]) -> dict[str, tuple[float, float]]:
        """Return the mean over pairs of each control and of the score that it is comparable with, by control.

        The comparable score is that of the same directions: an untrained network is scored into the others only.
        """
        rows = [_controls(outcomes[each.key], self.read) for each in self.comparisons]
        return {
            name: (float(np.mean([row[name][0] for row in rows])), float(np.mean([row[name][1] for row in rows])))
            for name in rows[0]
        }


def _value(outcome: Outcome, read: Read) -> float:
    if isinstance(outcome, SimilarityMeasures):
        return outcome.measures[str(read)]
    (score,) = _of(_direction(outcome, read), (*outcome.iia, *outcome.untrained))
    return score


def _baseline(outcome: Outcome, read: Read) -> float | None:
    """Return the baseline of the direction that is read, or `None` if there is no IIA or it was not trained."""
    if isinstance(outcome, SimilarityMeasures):
        return None
    direction = _direction(outcome, read)
    scores = [score.no_swap for score in outcome.iia if (score.source, score.target) == direction]
    return scores[0] if scores else None


def _direction(record: AlignmentSummary, read: Read) -> tuple[str, str]:
    """Return the names of the source and the target of the direction that is read."""
    if read == WORST:
        least = min(record.iia, key=lambda score: score.iia)
        return least.source, least.target
    source, target = (record.sites[int(index)].name for index in read)
    return source, target


def _of(direction: tuple[str, str], scores: Sequence[Score]) -> list[float]:
    return [score.iia for score in scores if (score.source, score.target) == direction]


def _controls(outcome: Outcome, read: Read) -> dict[str, tuple[float, float]]:
    """Return the score of each control, and the alignment's score in the same directions."""
    if isinstance(outcome, SimilarityMeasures) or not outcome.controls:
        return {}
    record, ours = outcome, [score.iia for score in outcome.iia]
    if read == WORST:
        return {
            control: (min(scores), min(record.comparable(ours, control)))
            for control, scores in record.control_scores.items()
        }
    source, target = _direction(record, read)
    # An untrained network is wrong whatever is swapped into it, so that it is no control in this direction.
    lost = target == record.sites[0].name != source
    return {
        control: (scores[at].iia, ours[at])
        for control, scores in record.by_control.items()
        for at, score in enumerate(record.iia)
        if (score.source, score.target) == (source, target) and not (control == "untrained" and lost)
    }


class Values:
    """The values of a study's rows, one per pair, as the rules of claims read them."""

    def __init__(self, measured: Sequence[StudyRow], outcomes: Mapping[str, Outcome]) -> None:
        self._rows = [(each.name, each.values(outcomes), each.members) for each in measured]

    def __call__(self, **named: str) -> Float[np.ndarray, " pairs"]:
        """Return the values of the one row with this panel, comparison, site or metric.

        Raises:
            InvalidArgument: No row, or more than one, has these names.
        """
        return self._row(named)[0]

    def mean(self, **named: str) -> PairMean:
        """Return the mean over pairs of this row, with its standard error over networks.

        Raises:
            InvalidArgument: No row, or more than one, has these names.
        """
        return pair_mean(*self._row(named))

    def _row(self, named: Mapping[str, str]) -> tuple[Float[np.ndarray, " pairs"], tuple[tuple[str, ...], ...]]:
        fields = ("panel", "comparison", "site", "metric")
        matching = [
            (values, members)
            for name, values, members in self._rows
            if named.items() <= dict(zip(fields, name, strict=True)).items()
        ]
        if len(matching) != 1:
            raise InvalidArgument(f"exactly one row must have {named}, found {len(matching)}")
        return matching[0]


@dataclass(frozen=True)
class Claim:
    """A claim of the paper about a figure, and the rule that decides whether our values support it.

    Every rule was written before any run.

    Attributes:
        text: The claim.
        rule: The rule in words.
        holds: The rule: whether the values of the study support the claim.
        rows: Whether a row of the table carries the verdict on the claim.
    """

    text: str
    rule: str
    holds: Callable[[Values], bool]
    rows: Callable[[StudyRow], bool]


@dataclass(frozen=True)
class Panel:
    """A panel of a figure. Its metrics differ in color.

    Attributes:
        name: The panel of the rows that it shows.
        title: The title.
        groups: The column of the table whose values are placed along the horizontal axis.
        axis: The label of the horizontal axis.
        lines: Whether the groups are numbers, and each metric is a line over them.
    """

    name: str
    title: str
    groups: Literal["comparison", "site"] = "comparison"
    axis: str = ""
    lines: bool = False


@dataclass(frozen=True)
class Study:
    """One figure of the paper, or one section with numbers.

    Attributes:
        name: The name by which `causalign reproduce` takes it.
        title: The title.
        measured: Returns the rows of the study under a protocol.
        claims: The claims that its rows decide.
        panels: The panels that show its rows.
    """

    name: str
    title: str
    measured: Callable[[Protocol], Sequence[StudyRow]]
    claims: Sequence[Claim]
    panels: Sequence[Panel]
