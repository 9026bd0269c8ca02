"""`validate`: run the problems with known answers and the drawn pairs, and write tables, a figure and the error rates.

protocol --points--> workers --finished folders--> outcomes --rule, rates--> tables, figure, page
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pandas as pd

from causalign.alignment.schema import AlignmentSummary
from causalign.alignment.verdict_rule import RATES, KnownRates
from causalign.callbacks import Callback, silent
from causalign.errors import InvalidArgument
from causalign.files import atomic_write, output_folder, write_text
from causalign.sweep.comparisons import run_comparisons
from causalign.sweep.folder import SweepFolder
from causalign.sweep.point import Point
from causalign.sweep.workers import cores
from causalign.validation.error_rates import PairOutcome, choose_rule, known_rates, pair_table, rates_by_setting
from causalign.validation.figure import score_against_truth
from causalign.validation.page import PAGE, page
from causalign.validation.point import read_numbers
from causalign.validation.protocol import Protocol
from causalign.validation.tables import ProblemOutcome, naturalness_table, problem_table

PROBLEM_TABLE, PAIR_TABLE, RATE_TABLE = "known_answers.csv", "drawn_pairs.csv", "error_rates.csv"
NATURALNESS_TABLE, FIGURE = "natural_states.csv", "score_against_truth.png"
_PIXELS_PER_INCH = 160
P = TypeVar("P", bound=Point)


@dataclass(frozen=True)
class Validation:
    """The result of a validation.

    Attributes:
        problems: A row for each problem with a known answer (see `problem_table`).
        pairs: A row for each drawn pair and setting.
        rates: What the rule says, by setting.
        naturalness: Scores and naturalness by the weight of the latent objective.
        known: The rule, and its error rates at the usual setting.
    """

    problems: pd.DataFrame
    pairs: pd.DataFrame
    rates: pd.DataFrame
    naturalness: pd.DataFrame
    known: KnownRates


def validate(
    folder: Path, protocol: Protocol | None = None, workers: int | None = None, callback: Callback = silent
) -> Validation:
    """Align every problem and pair, and write the tables (CSV), the figure (PNG), the page and the error rates (JSON).

    Points that were finished in `folder` before are not run again.

    Args:
        folder: The folder to write to.
        protocol: The protocol. By default all problems, with the numbers of pairs of `Protocol`.
        workers: The number of processes. By default one for each core. With more than one, a script must call this
            function under `if __name__ == "__main__":`.
        callback: A function that is called after every point.

    Raises:
        InvalidArgument: Points failed, or another process is at work in the folder.
        FileFormatError: The folder cannot be written.
    """
    protocol, points = protocol or Protocol(), SweepFolder(folder)
    output_folder(folder, PROBLEM_TABLE, PAIR_TABLE, RATE_TABLE, NATURALNESS_TABLE, FIGURE, PAGE, RATES)
    run_comparisons(_every(protocol), points, workers or cores(), callback)
    found = _results(protocol, points)
    _write(found, folder, protocol)
    return found


def load_validation(folder: Path, protocol: Protocol | None = None) -> Validation:
    """Return the results of a folder in which every point of the protocol is finished.

    Raises:
        InvalidArgument: Points are not finished, or were run by other code.
    """
    protocol, points = protocol or Protocol(), SweepFolder(folder)
    if left := sum(points.outcome(point.key) is None for point in _every(protocol)):
        raise InvalidArgument(f"{left} points are not finished in {folder}: repeat causalign validate --out {folder}")
    return _results(protocol, points)


def _every(protocol: Protocol) -> list[Point]:
    return [*protocol.problems(), *protocol.drawn_pairs(), *protocol.natural_states()]


def _results(protocol: Protocol, points: SweepFolder) -> Validation:
    pairs = [
        PairOutcome(point, record, read_numbers(points.point(point.key)).ceiling)
        for point, record in _records(list(protocol.drawn_pairs()), points)
    ]
    problems = [
        ProblemOutcome(point, record, read_numbers(points.point(point.key)))
        for point, record in _records(list(protocol.problems()), points)
    ]
    rule = choose_rule(pairs, protocol.usual)
    return Validation(
        problem_table(problems, rule),
        pair_table(pairs, rule),
        rates_by_setting(pairs, protocol.usual, rule),
        _naturalness(protocol, points),
        known_rates(pairs, protocol.usual, rule),
    )


def _naturalness(protocol: Protocol, points: SweepFolder) -> pd.DataFrame:
    by_weight: dict[float, list[AlignmentSummary]] = {}
    for point, record in _records(list(protocol.natural_states()), points):
        by_weight.setdefault(point.spec.method.parameters["latent_weight"], []).append(record)
    return naturalness_table(by_weight)


def _records(points: Sequence[P], folder: SweepFolder) -> Iterator[tuple[P, AlignmentSummary]]:
    for point in points:
        record = folder.outcome(point.key)
        if isinstance(record, AlignmentSummary):
            yield point, record


def _write(found: Validation, folder: Path, protocol: Protocol) -> None:
    tables = {
        PROBLEM_TABLE: found.problems,
        PAIR_TABLE: found.pairs,
        RATE_TABLE: found.rates,
        NATURALNESS_TABLE: found.naturalness,
    }
    for name, table in tables.items():
        write_text(folder / name, table.to_csv(index=False, float_format="%.6g"))
    write_text(folder / RATES, found.known.model_dump_json(indent=1) + "\n")
    with atomic_write(folder / FIGURE) as temporary:
        usual = (found.pairs[list(vars(protocol.usual))] == pd.Series(vars(protocol.usual))).all(axis=1)
        score_against_truth(found.pairs[usual]).savefig(temporary, dpi=_PIXELS_PER_INCH, format="png")
    write_text(folder / PAGE, page(found.problems, found.rates, found.naturalness, found.known))
