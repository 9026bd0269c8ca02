"""The schema of `result.json`: all of an alignment but its maps and its rows."""

from collections import Counter
from collections.abc import Sequence
from functools import reduce
from typing import Literal

from pydantic import BaseModel, ConfigDict, model_validator

from causalign.alignment.config import AlignmentConfig
from causalign.search.early_stopping import Evaluation
from causalign.search.rank_selection import RankTrial
from causalign.search.stop_reason import StopReason

SCHEMA_VERSION: Literal[2] = 2


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


class RecordingSummary(_Part):
    """What there was of a recording, and what was done to it first."""

    units: tuple[str, ...]
    preprocess: dict[str, bool | int | str | None]
    trials: Counts
    fewest: int
    """Trials of a split that must have a value for it to be used."""
    left_out: dict[str, int]
    """Trials that nothing is known of, by reason."""
    coverage: tuple[ValueCount, ...]


class SiteSummary(_Part):
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
    accuracy: float | None = None
    """The share of test inputs that the network completes correctly with nothing swapped, where that is known."""
    recording: RecordingSummary | None = None
    """Where it is no site of a network, but was only recorded."""


class Score(_Part):
    """The IIA of one direction on held-out rows, with its Wilson interval."""

    source: str
    target: str
    variable: str
    iia: float
    ci_low: float
    ci_high: float
    rows: int


class DirectionScore(Score):
    """The IIA of one direction, beside the baseline."""

    no_swap: float
    """The IIA of the same rows with nothing swapped: the score of a network that ignores its source."""

    @property
    def above_baseline(self) -> bool:
        """Whether the whole interval is above the baseline."""
        return self.ci_low > self.no_swap


class ControlScore(Score):
    """The IIA of one direction of a control: an alignment that differs in one respect and took as many steps."""

    control: str
    """`untrained`: the first network is replaced by an untrained one of its shape. `shuffled`: the expected outputs are
    shuffled among the rows. `random`: the subspaces are left where a random start puts them."""
    steps: int


class NaturalnessScore(_Part):
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
    no_swap: float
    """The same with nothing swapped."""
    interventions: int
    trials: int
    """Of the recording, that were swapped into."""


class EvaluationRecord(_Part):
    """A point of the learning curve, on validation interventions."""

    step: int
    loss: float | None
    worst_iia: float | None
    """Over the directions whose target may be run in the search."""
    mean_iia: float | None
    validation_loss: float | None = None
    """What the choice was made by, where some target may not be run."""


class MissingLatent(_Part):
    """Interventions of one direction left out because no counterfactual latent was recorded for their values."""

    source: str
    target: str
    split: str
    values: dict[str, int]
    count: int


class Seconds(_Part):
    """Where the time went."""

    data: float = 0.0
    states: float = 0.0
    search: float = 0.0
    evaluate: float = 0.0
    controls: float = 0.0
    total: float


class AlignmentSummary(_Part):
    """All of an alignment but its maps and its rows: what `result.json` holds."""

    schema_version: Literal[2] = SCHEMA_VERSION
    config: AlignmentConfig
    """What was asked for."""
    variable: str | tuple[str, ...]
    """The variable that was swapped: of the dataset, one for each site where they differ."""
    rank: int
    """The dimensions of the subspace: those that were chosen, where there was a choice."""
    start: str
    """The maps that the search began at."""
    data: str
    """The fingerprint of the counterfactual dataset."""
    notes: tuple[str, ...] = ()
    """What was left out, assumed or filled in, a sentence each."""
    sites: tuple[SiteSummary, ...]
    iia: tuple[DirectionScore, ...]
    """The scores of the trained directions whose target can be run."""
    worst_iia: float | None
    """The least of them: the headline. `None` where all directions lead into recordings."""
    untrained: tuple[DirectionScore, ...] = ()
    """The scores of directions that the method does not train."""
    controls: tuple[ControlScore, ...] = ()
    naturalness: tuple[NaturalnessScore, ...] = ()
    latent: tuple[LatentScore, ...] = ()
    """The scores of trained directions into recordings, which have no IIA."""
    inaccessible: str | None = None
    """The site whose network was not run in the search."""
    unmatched: tuple[MissingLatent, ...] = ()
    ranks: tuple[RankTrial, ...] = ()
    """The ranks that were tried, where there was a choice."""
    steps: int
    stopped: StopReason
    rows: Counts
    """The rows of each direction, by split."""
    threads: int
    seconds: Seconds
    versions: dict[str, str]
    history: tuple[EvaluationRecord, ...]

    @property
    def method(self) -> str:
        """The name of the method."""
        return self.config.method.label

    @property
    def task(self) -> str:
        """The names of the tasks."""
        return " x ".join(dict.fromkeys(site.task for site in self.sites))

    @property
    def worst(self) -> DirectionScore | None:
        """The score of the worst direction."""
        return min(self.iia, key=lambda score: score.iia, default=None)

    @property
    def best(self) -> Evaluation:
        """The evaluation whose maps were kept."""
        evaluations = [Evaluation(**dict(each)) for each in self.history]
        return reduce(lambda best, each: each if each.better_than(best) else best, evaluations)

    @property
    def control_scores(self) -> dict[str, list[float]]:
        """The IIA of each control: of all directions, but with a network untrained of those into the others."""
        return {
            control: self.comparable([score.iia for score in scores], control)
            for control, scores in self.by_control.items()
        }

    @property
    def by_control(self) -> dict[str, list[ControlScore]]:
        """The scores of each control, in the order of `iia`."""
        kinds = dict.fromkeys(score.control for score in self.controls)
        return {kind: [score for score in self.controls if score.control == kind] for kind in kinds}

    def comparable(self, scores: Sequence[float], control: str) -> list[float]:
        """Of one score a direction, those that a control tells something of.

        An untrained network goes on wrongly whatever is swapped into it: only what it gives to others counts.
        """
        others = [score for score, of in zip(scores, self.iia, strict=True) if of.target != self.sites[0].name]
        return others if control == "untrained" and others else list(scores)

    @model_validator(mode="after")
    def _whole(self) -> "AlignmentSummary":
        names = {site.name for site in self.sites}
        directions = [(score.source, score.target) for score in self.iia]
        if (not directions and not self.latent) or (self.worst_iia is None) != (not directions):
            raise ValueError("iia must score at least one direction, or latent, and worst_iia is the least of iia")
        if not names.issuperset(name for direction in directions for name in direction):
            raise ValueError("a score is of a site that is not listed")
        if any(count != len(directions) for count in Counter(score.control for score in self.controls).values()):
            raise ValueError("each control must score the directions of iia")
        return self
