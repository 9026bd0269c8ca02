"""Figure 6: the variables of Arithmetic, and the count of Multi-Object."""

from collections.abc import Iterator

from causalign.reproduction.row_groups import carrying
from causalign.reproduction.study import Claim, Panel, Protocol, Study, StudyRow, Values

_LEFT, _MIDDLE, _RIGHT = "left", "middle", "right"
_ARITHMETIC, _COUNTING = "arithmetic/gru", "multi-object/gru"
_CUMULATIVE, _REMAINING = "cumulative_value", "remaining_ops"
_LOW = f"{_CUMULATIVE}[1..10]"
_SITE = "hidden, at commas"


def _measured(protocol: Protocol) -> Iterator[StudyRow]:
    for variable in (_CUMULATIVE, _REMAINING):
        pairs = protocol.within(_ARITHMETIC, "hidden")
        alignments = tuple(protocol.align(pair, variable=variable) for pair in pairs)
        yield StudyRow(_LEFT, variable, _SITE, "MAS", alignments)
    pairs = protocol.between(_COUNTING, _ARITHMETIC, "hidden")
    for panel, variable in ((_MIDDLE, _REMAINING), (_RIGHT, _CUMULATIVE), (_RIGHT, _LOW)):
        alignments = tuple(protocol.align(pair, variable=["count", variable]) for pair in pairs)
        yield StudyRow(panel, f"count x {variable}", _SITE, "MAS", alignments)


def _within(values: Values) -> bool:
    return all(values(panel=_LEFT, comparison=variable).mean() >= 0.9 for variable in (_CUMULATIVE, _REMAINING))


def _counts_down(values: Values) -> bool:
    return bool(values(panel=_MIDDLE).mean() >= 0.9)


def _another_number(values: Values) -> bool:
    every, low, remaining = (values(comparison=f"count x {each}") for each in (_CUMULATIVE, _LOW, _REMAINING))
    return bool((every < low).all() and (low < remaining).all())


FIG6 = Study(
    "fig6",
    "The numbers of arithmetic",
    lambda protocol: list(_measured(protocol)),
    (
        Claim(
            "Both variables of arithmetic align, between and within GRUs",
            "mean worst IIA at least 0.9, for both",
            _within,
            carrying(panel=_LEFT),
        ),
        Claim(
            "The count aligns with the operations that remain",
            "mean worst IIA at least 0.9",
            _counts_down,
            carrying(panel=_MIDDLE),
        ),
        Claim(
            "less with the cumulative value, and more with its low values, but still less than with the operations",
            "all values < low values < operations, in every pair",
            _another_number,
            carrying(panel=_RIGHT),
        ),
    ),
    (
        Panel(_LEFT, "Two GRUs that do arithmetic"),
        Panel(_MIDDLE, "Counting and arithmetic: remaining operations"),
        Panel(_RIGHT, "Counting and arithmetic: cumulative value"),
    ),
)
