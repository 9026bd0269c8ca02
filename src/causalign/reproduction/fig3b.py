"""Figure 3b: the counts of three tasks, within each task (DAS) and across tasks (MAS)."""

from collections.abc import Iterator
from itertools import combinations

from causalign.reproduction.row_groups import carrying
from causalign.reproduction.study import Claim, Panel, Protocol, Study, StudyRow, Values

_PANEL = "b"
_TASKS = ("multi-object", "rounding", "modulo")
_DAS, _MAS = "DAS", "MAS"


def _measured(protocol: Protocol) -> Iterator[StudyRow]:
    for task in _TASKS:
        single = [protocol.site(f"{task}/gru", seed, "hidden") for seed in protocol.seeds]
        alignments = tuple(protocol.align([site], method="das", variable="count") for site in single)
        yield StudyRow(_PANEL, task, "hidden", _DAS, alignments)
    for a, b in combinations(_TASKS, 2):
        pairs = protocol.between(f"{a}/gru", f"{b}/gru", "hidden")
        alignments = tuple(protocol.align(pair, variable="count") for pair in pairs)
        yield StudyRow(_PANEL, f"{a} x {b}", "hidden", _MAS, alignments)


def _each_has_one(values: Values) -> bool:
    return all(values(comparison=task, metric=_DAS).mean() >= 0.9 for task in _TASKS)


def _they_differ(values: Values) -> bool:
    return all(
        bool(values(comparison=f"{a} x {b}").max() < min(values(comparison=each).min() for each in (a, b)))
        for a, b in combinations(_TASKS, 2)
    )


FIG3B = Study(
    "fig3b",
    "Number representations of different tasks",
    lambda protocol: list(_measured(protocol)),
    (
        Claim(
            "DAS finds a count in the GRUs of each task",
            "mean IIA at least 0.9 in each",
            _each_has_one,
            carrying(metric=_DAS),
        ),
        Claim(
            "MAS across tasks is lower: their number representations differ",
            "the best pair of two tasks is below the worst DAS of either",
            _they_differ,
            carrying(metric=_MAS),
        ),
    ),
    (Panel(_PANEL, "The count of three tasks"),),
)
