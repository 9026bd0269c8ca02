"""The protocol of a validation: which problems and pairs are drawn, how often, and how they are aligned."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib.util import find_spec

from causalign.alignment.spec import AlignmentSpec
from causalign.errors import InvalidArgument, MissingDependency, lookup
from causalign.methods.das import DAS
from causalign.search.config import SearchConfig
from causalign.search.rank_selection import FixedRank
from causalign.sweep.point import AlignmentPoint
from causalign.validation.drawn_pair import RELATIONS
from causalign.validation.point import PairPoint, ProblemPoint
from causalign.validation.problems.registry import PROBLEMS
from causalign.validation.setting import Setting

USUAL = Setting()
VARIATIONS = (
    *(replace(USUAL, rank=rank) for rank in (1, 4)),
    replace(USUAL, n_train=100),
    *(replace(USUAL, max_steps=steps) for steps in (50, 600)),
)


@dataclass(frozen=True)
class Protocol:
    """The protocol.

    Attributes:
        names: The names of the problems.
        relations: The relations of the drawn pairs.
        seeds: The seeds of each problem.
        usual: The usual setting, at which the rule is chosen.
        variations: The settings that differ from the usual one in one respect.
        pairs: The number of pairs of each relation at the usual setting.
        varied_pairs: The number of pairs of each relation at every other setting.
        networks: The trained networks whose swapped states are compared with natural ones.
        latent_weights: The weights of the latent objective that are compared.

    Raises:
        InvalidArgument: A problem is unknown, or there are fewer than two pairs.
        MissingDependency: The package of a problem is not installed.
    """

    names: tuple[str, ...] = tuple(PROBLEMS)
    relations: tuple[str, ...] = tuple(RELATIONS)
    seeds: tuple[int, ...] = (0,)
    usual: Setting = USUAL
    variations: tuple[Setting, ...] = VARIATIONS
    pairs: int = 12
    varied_pairs: int = 2
    networks: tuple[str, ...] = ("multi-object/gru/0", "multi-object/gru/1", "multi-object/gru/2")
    latent_weights: tuple[float, ...] = (0.0, 1.0, 10.0)

    def __post_init__(self) -> None:
        for name in self.names:
            for package in lookup("problem", name, PROBLEMS).requires:
                if find_spec(package) is None:
                    raise MissingDependency(f"the problem {name} needs {package}: pip install 'causalign[validation]'")
        if self.pairs < 2:
            raise InvalidArgument(
                f"the rule is chosen on one half of the pairs: pairs is at least 2, found {self.pairs}"
            )

    def problems(self) -> Iterator[ProblemPoint]:
        """Yield the points of the problems with known answers."""
        for name in self.names:
            for seed in self.seeds:
                yield ProblemPoint(name, seed)

    def drawn_pairs(self) -> Iterator[PairPoint]:
        """Yield the points of the drawn pairs: those of the usual setting first."""
        for setting in (self.usual, *self.variations):
            for relation in self.relations:
                for seed in range(self.pairs if setting == self.usual else self.varied_pairs):
                    yield PairPoint(relation, seed, setting)

    def natural_states(self) -> Iterator[AlignmentPoint]:
        """Yield DAS of the whole state of counting networks by the weight of the latent objective.

        The quantities 4, 9, 14 and 17 are held out, as in the published training.
        """
        for network in self.networks:
            for weight in self.latent_weights:
                spec = AlignmentSpec(
                    sites=(f"zoo:{network}@hidden",),
                    method=DAS(latent_weight=weight),
                    rank=FixedRank(16),
                    variable="count",
                    holdout_values={"count": (4, 9, 14, 17)},
                    search=SearchConfig(max_steps=300),
                )
                yield AlignmentPoint(spec)
