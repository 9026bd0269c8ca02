"""The schema of `result.json`: everything about an alignment except its maps and its rows."""

from collections import Counter
from collections.abc import Sequence
from functools import reduce
from typing import Literal, TypeVar

from pydantic import BaseModel, ConfigDict, model_validator

from causalign.alignment.config import AlignmentConfig
from causalign.networks.origin import Origin
from causalign.scoring.worst_interval import worst_interval
from causalign.search.early_stopping import Evaluation
from causalign.search.rank_selection import RankTrial
from causalign.search.stop_reason import StopReason

SCHEMA_VERSION: Literal[2] = 2
Entry = TypeVar("Entry")


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Counts(_Part):
    """The number of rows of each direction, or of trials of a recording, by split."""

    train: int
    validation: int
    test: int


class ValueCount(_Part):
    """The coverage of one value of a recording's variables in one split."""

    values: dict[str, int]
    split: str
    trials: int
    """The number of trials that have the value."""
    samples: int
    """The number of samples of the value at which no unit is missing."""
    missing: int
    """The number of samples of the value at which some unit is missing."""
    shortest: int
    """The length in samples of the shortest trial that has the value."""
    longest: int
    """The length in samples of the longest trial that has the value."""
    used: bool
    """Whether enough trials have the value for it to be used."""


class RecordingSummary(_Part):
    """The units, preprocessing, trials and coverage of a recording."""

    units: tuple[str, ...]
    preprocess: dict[str, bool | int | str | None]
    trials: Counts
    fewest: int
    """The number of trials of a split that must have a value for it to be used."""
    unit: float = 1.0
    """The root mean variance of its states, in which they and all latent distances are measured."""
    left_out: dict[str, int]
    """The number of trials that were left out, by reason."""
    levels: dict[str, tuple[str, ...]] = {}
    """The entry that each number stands for, for columns that were numbered by their distinct entries."""
    coverage: tuple[ValueCount, ...]


class SiteSummary(_Part):
    """A site of an alignment, and its network or recording."""

    name: str
    network: str
    at: str
    task: str
    task_summary: str
    """A description of the task in one line."""
    variables: tuple[str, ...]
    """The variables of the task that are swapped."""
    width: int
    fingerprint: str
    """The hash of the network's weights, or of the recording's states."""
    origin: Origin | None = None
    """What the weights of a language model were loaded from. `None` for other networks and for recordings."""
    accuracy: float | None = None
    """The share of test inputs that the network completes correctly with nothing swapped. `None` if it is unknown."""
    recording: RecordingSummary | None = None
    """The summary of the recording. `None` for a site of a network."""


class Score(_Part):
    """The IIA of one direction and variable on held-out rows, with its Wilson interval."""

    source: str
    target: str
    variable: str
    iia: float
    ci_low: float
    ci_high: float
    rows: int


class DirectionScore(Score):
    """The IIA of one direction, with its baseline."""

    no_swap: float
    """The baseline: the IIA of the same rows with nothing swapped, as of a network that ignores its source."""
    complement: float | None = None
    """The share of the rows in which the target keeps its variable while everything outside the subspace is swapped.
    `None` between two sites, where it is not defined, and where the expected output is not known."""

    @property
    def above_baseline(self) -> bool:
        """Whether the whole interval exceeds the baseline."""
        return self.ci_low > self.no_swap


class ControlScore(Score):
    """The IIA of one direction of a control: an alignment that differs in one respect and took as many steps."""

    control: str
    """The name of the control. `untrained`: the first network is replaced by an untrained one of its shape. `shuffled`:
    the expected outputs are shuffled among the rows. `random`: the subspaces are those of a random start."""
    steps: int
    """The number of steps of its search."""


class ComplementScore(_Part):
    """The complement of one site and variable on held-out rows, with its Wilson interval."""

    site: str
    variable: str
    complement: float | None = None
    """The share of rows in which the target keeps its variable while everything outside the subspace is swapped. `None`
    if all rows were left out."""
    ci_low: float | None = None
    ci_high: float | None = None
    rows: int = 0
    whole_swap: float | None = None
    """The baseline: the score of the same rows with the whole state swapped, as of a target whose variable is known
    from elsewhere, such as from what precedes the swap."""
    left_out: int
    """The number of test rows that were left out: the source cannot have the target's value of the variable."""

    @property
    def above_baseline(self) -> bool:
        """Whether the whole interval exceeds the baseline."""
        return self.ci_low is not None and self.whole_swap is not None and self.ci_low > self.whole_swap


class NaturalnessScore(_Part):
    """Distances of the swapped states of a direction and variable to natural states, and those of held-out ones."""

    source: str
    target: str
    variable: str
    outside: float
    """The share of the swapped states' variance outside the principal components that hold 99 % of the variance of
    natural states."""
    outside_natural: float
    """The same share for held-out natural states."""
    energy: float
    """The energy distance of swapped states to natural states, as a share of its largest value."""
    energy_natural: float
    """The energy distance of held-out natural states to natural states."""


class LatentScore(_Part):
    """The latent objective (equation 8) of one direction into a recording, on held-out rows.

    The 95 % interval is by bootstrap over the recording's trials.
    """

    source: str
    target: str
    variable: str
    distance: float
    ci_low: float
    ci_high: float
    no_swap: float
    """The distance of the same rows with nothing swapped."""
    rows: int
    """The number of rows."""
    trials: int
    """The number of the recording's trials among the rows."""


class MissingLatent(_Part):
    """Rows of one direction that were left out because no state of the target has their values."""

    source: str
    target: str
    split: str
    values: dict[str, int]
    count: int


class Seconds(_Part):
    """The time of each stage, in seconds."""

    data: float = 0.0
    states: float = 0.0
    search: float = 0.0
    evaluate: float = 0.0
    controls: float = 0.0
    total: float


class AlignmentSummary(_Part):
    """Everything about an alignment except its maps and its rows: the contents of `result.json`."""

    schema_version: Literal[2] = SCHEMA_VERSION
    config: AlignmentConfig
    """The configuration."""
    variable: str | tuple[str, ...]
    """The variable that was swapped, or one for each site where they differ. Several at once have commas."""
    rank: int
    """The dimension of the subspace, or the number of features that are swapped. If several ranks were tried, the one
    that was selected."""
    blocks: dict[str, int] = {}
    """The rank of the block of each variable, in the order of the columns. Empty for one variable without a block."""
    subspaces: int = 1
    """The number of subspaces of each site: 1, or one for each position of a row."""
    start: str
    """The start of the search: `closed-form`, `paired`, `random`, or `features` where the method has its own."""
    data: str
    """The fingerprint of the counterfactual dataset."""
    notes: tuple[str, ...] = ()
    """Notes on data that were left out, assumed or filled in, one sentence each."""
    sites: tuple[SiteSummary, ...]
    iia: tuple[DirectionScore, ...]
    """The scores of the trained directions whose target can be run."""
    worst_iia: float | None
    """The least of these scores, the headline. `None` if all directions lead into recordings."""
    worst_ci_low: float | None = None
    """The lower end of the exact 95 % interval of the headline, whatever direction is the worst. `None` if there is no
    IIA."""
    worst_ci_high: float | None = None
    """The upper end of this interval. It is adjusted for the number of directions and variables."""
    untrained: tuple[DirectionScore, ...] = ()
    """The scores of directions that the method scores without having trained them."""
    controls: tuple[ControlScore, ...] = ()
    """The scores of the controls."""
    naturalness: tuple[NaturalnessScore, ...] = ()
    """The naturalness of the swapped states of each direction."""
    holdout: tuple[DirectionScore, ...] = ()
    """The scores of the trained directions on rows whose value is held out of all other rows."""
    complement: tuple[ComplementScore, ...] = ()
    """The complements of the sites that are scored with themselves."""
    without_complement: str | None = None
    """The reason why no site has a complement, or `None` if those that are scored with themselves have."""
    latent: tuple[LatentScore, ...] = ()
    """The scores of trained directions into recordings, which have no IIA."""
    inaccessible: str | None = None
    """The site whose network was not run in the search, if there is one."""
    unmatched: tuple[MissingLatent, ...] = ()
    """The rows without a counterfactual latent."""
    ranks: tuple[RankTrial, ...] = ()
    """The ranks that were tried, if there were several."""
    steps: int
    """The number of steps of the search."""
    stopped: StopReason
    """The reason why the search stopped."""
    rows: Counts
    """The rows of each direction, by split."""
    threads: int
    """The number of CPU threads."""
    seconds: Seconds
    versions: dict[str, str]
    """The versions of the software that the result depends on."""
    history: tuple[Evaluation, ...]
    """The evaluations of the search, in order."""

    @property
    def method(self) -> str:
        """The name of the method."""
        return self.config.method.label

    @property
    def task(self) -> str:
        """The names of the tasks, each once."""
        return " x ".join(dict.fromkeys(site.task for site in self.sites))

    @property
    def worst(self) -> DirectionScore | None:
        """The score of the worst direction and variable. `None` if there is no IIA."""
        return min(self.iia, key=lambda score: score.iia, default=None)

    @property
    def worst_interval(self) -> tuple[float, float] | None:
        """The exact 95 % interval of the headline (see `scoring.worst_interval`). `None` if there is no IIA."""
        if not self.iia:
            return None
        if self.worst_ci_low is None or self.worst_ci_high is None:  # a file of an earlier version
            return worst_interval([score.iia for score in self.iia], [score.rows for score in self.iia])
        return self.worst_ci_low, self.worst_ci_high

    @property
    def keeps_last(self) -> bool:
        """Whether the maps of the last evaluation were kept, in place of those of the best."""
        return (self.config.method.rank or self.config.rank).keeps_last

    @property
    def extent(self) -> str:
        """The rank in words: `rank 16`, `rank 16 at each of 2 positions`, or how many features are swapped."""
        basis = self.config.method.basis
        if basis is not None:
            return f"{self.rank} of {basis.size(self.sites[0].width)} {basis.noun}"
        return f"rank {self.rank}" + (f" at each of {self.subspaces} positions" if self.subspaces > 1 else "")

    @property
    def best(self) -> Evaluation:
        """The evaluation whose maps were kept."""
        if self.keeps_last:
            return self.history[-1]
        return reduce(lambda best, each: each if each.better_than(best) else best, self.history)

    @property
    def control_scores(self) -> dict[str, list[float]]:
        """The comparable IIA scores of each control (see `comparable`)."""
        return {
            control: self.comparable([score.iia for score in scores], control)
            for control, scores in self.by_control.items()
        }

    @property
    def by_control(self) -> dict[str, list[ControlScore]]:
        """The scores of each control, in the order of `iia`."""
        kinds = dict.fromkeys(score.control for score in self.controls)
        return {kind: [score for score in self.controls if score.control == kind] for kind in kinds}

    def comparable(self, scores: Sequence[Entry], control: str) -> list[Entry]:
        """Return the scores, one per direction, of the directions that are comparable between control and alignment.

        An untrained network is wrong whatever is swapped into it, so that only the directions into other networks are
        comparable for `untrained`. All directions are for other controls.
        """
        others = [score for score, of in zip(scores, self.iia, strict=True) if of.target != self.sites[0].name]
        return others if control == "untrained" and others else list(scores)

    @model_validator(mode="after")
    def _whole(self) -> "AlignmentSummary":
        names = {site.name for site in self.sites}
        directions = [(score.source, score.target) for score in self.iia]
        if (not directions and not self.latent) or (self.worst_iia is None) != (not directions):
            raise ValueError(
                "iia must score at least one direction, or latent must, and worst_iia must be the least of iia"
            )
        if not names.issuperset(name for direction in directions for name in direction):
            raise ValueError("a score names a site that is not listed")
        if self.blocks and sum(self.blocks.values()) != self.rank:
            raise ValueError(f"the ranks of the blocks must sum to the rank, {self.rank}; found {self.blocks}")
        if self.config.subspace_per_position != (self.subspaces > 1):
            raise ValueError(f"subspaces is above 1 with subspace_per_position only; found {self.subspaces}")
        if any(count != len(directions) for count in Counter(score.control for score in self.controls).values()):
            raise ValueError("each control must score the directions of iia")
        return self
