"""The point of a known answer in a sweep: it draws the case, aligns, and writes the angles beside the alignment."""

import hashlib
import json
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

from causalign.alignment.align import align
from causalign.callbacks import Callback, silent
from causalign.files import write_text
from causalign.search.config import SearchConfig
from causalign.sweep.point import Point, SharedCache
from causalign.validation.drawn_pair import RELATIONS
from causalign.validation.principal_angles import largest_angles
from causalign.validation.problem import Case
from causalign.validation.problems.registry import PROBLEMS
from causalign.validation.setting import Setting

NUMBERS = "known_answer.json"
_DRAWING = ("drawn_pair.py", "point.py", "principal_angles.py", "problem.py")


@dataclass(frozen=True)
class Numbers:
    """What is known of a finished point beside its alignment.

    Attributes:
        angles: The largest principal angle to the true subspace, in degrees, by `SITE VARIABLE`.
        checks: The checks of the case, by name.
        ceiling: The largest IIA that the worst direction can have, if it is known.
    """

    angles: Mapping[str, float]
    checks: Mapping[str, float]
    ceiling: float | None


class KnownAnswerPoint(Point):
    """An alignment of networks whose answer is known."""

    @property
    @abstractmethod
    def name(self) -> str:
        """What is drawn, with all parameters of the draw."""

    @abstractmethod
    def case(self) -> Case:
        """Draw the networks and the rows."""

    @property
    def members(self) -> tuple[str, ...]:
        """The name of what is drawn."""
        return (self.name,)

    @property
    def declaration(self) -> str:
        """The name, and the code that draws."""
        return f"known answer {self.name} {_drawing_code()}"

    def run(self, folder: Path, callback: Callback = silent, cache: SharedCache | None = None) -> None:  # noqa: ARG002
        """Align, and save the alignment, the angles to the true subspaces, and the checks of the case."""
        case = self.case()
        found = align(case.data, controls=True, out=folder, overwrite=True, callbacks=[callback], **case.fields)
        checks = {} if case.checks is None else dict(case.checks(found))
        numbers = Numbers(largest_angles(found, case), checks, case.ceiling)
        write_text(folder / NUMBERS, json.dumps(asdict(numbers)) + "\n")


@dataclass(frozen=True)
class ProblemPoint(KnownAnswerPoint):
    """A problem with the networks of one seed."""

    problem: str
    seed: int

    @property
    def name(self) -> str:
        """The name of the problem, and the seed."""
        return f"{self.problem}/{self.seed}"

    def case(self) -> Case:
        """Draw the problem."""
        return PROBLEMS[self.problem].draw(self.seed)


@dataclass(frozen=True)
class PairPoint(KnownAnswerPoint):
    """A drawn pair of networks, at one setting of the alignment.

    Attributes:
        relation: The relation of the two networks.
        seed: The seed of the draw.
        setting: The setting.
    """

    relation: str
    seed: int
    setting: Setting

    @property
    def name(self) -> str:
        """The relation, the seed and the setting."""
        return f"{self.relation}/{self.seed} {self.setting}"

    def case(self) -> Case:
        """Draw the pair."""
        pair = RELATIONS[self.relation].draw(self.seed, self.setting.n_train)
        search = SearchConfig(max_steps=self.setting.max_steps)
        return Case(pair.data, {"rank": self.setting.rank, "search": search}, ceiling=pair.ceiling)


def read_numbers(folder: Path) -> Numbers:
    """Return the numbers of a finished point."""
    return Numbers(**json.loads((folder / NUMBERS).read_text()))


@cache
def _drawing_code() -> str:
    """Return a hash of the sources that draw networks and rows, which the hash of the results' code leaves out."""
    digest, room = hashlib.sha256(), Path(__file__).parent
    for path in sorted([*room.glob("problems/*.py"), *(room / name for name in _DRAWING)]):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
