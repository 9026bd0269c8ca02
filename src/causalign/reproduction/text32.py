"""Section 3.2: stepwise MAS on embeddings of different architectures, and of a GRU of another task for comparison."""

from collections.abc import Callable, Iterator

from causalign.reproduction.paper import cited
from causalign.reproduction.row_groups import GRAM_SCHMIDT, STEPWISE, carrying
from causalign.reproduction.study import Claim, Panel, Protocol, Study, StudyRow, Values

_FIGURE, _PANEL = "text32", "section 3.2"
_ARCHITECTURES = (
    ("multi-object/gru", "multi-object/transformer"),
    ("multi-object/gru", "multi-object/lstm"),
    ("multi-object/transformer", "multi-object/lstm"),
)
_BASELINE = ("multi-object/gru", "same-object/gru")


_IN_CONTEXT = "multi-object/gru x language model in context"
_KNOWN = "counts=1..12"  # the counts that the paper's language model can do


def _name(pair: tuple[str, str]) -> str:
    return " x ".join(pair)


def _measured(protocol: Protocol) -> Iterator[StudyRow]:
    for pair in (*_ARCHITECTURES, _BASELINE):
        sites = protocol.between(*pair, "embedding")
        alignments = tuple(protocol.align(each, method="mas-stepwise") for each in sites)
        yield StudyRow(_PANEL, _name(pair), STEPWISE, GRAM_SCHMIDT, alignments)
    if protocol.language_model:
        yield _in_context(protocol)


def _in_context(protocol: Protocol) -> StudyRow:
    """Return the row of the named language model. It need not be the paper's, so that its row has no verdict."""
    model = f"{protocol.language_model},{_KNOWN}@embedding"
    pairs = [(f"{protocol.networks}multi-object/gru/{seed},{_KNOWN}@embedding", model) for seed in protocol.seeds]
    alignments = tuple(protocol.align(pair, [protocol.width], method="mas-stepwise") for pair in pairs)
    note = f"no verdict: this is {protocol.language_model}"
    return StudyRow(_PANEL, _IN_CONTEXT, STEPWISE, GRAM_SCHMIDT, alignments, note=note)


def _as_high(pair: tuple[str, str]) -> Callable[[Values], bool]:
    def holds(values: Values) -> bool:
        ours, paper = values.mean(comparison=_name(pair)), cited(_FIGURE, _PANEL, _name(pair), STEPWISE, GRAM_SCHMIDT)
        return paper is not None and ours.value + ours.sem > paper.value

    return holds


def _as_the_baseline(values: Values) -> bool:
    ours = values.mean(comparison=_name(_BASELINE))
    paper = cited(_FIGURE, _PANEL, _name(_BASELINE), STEPWISE, GRAM_SCHMIDT)
    return paper is not None and abs(ours.value - paper.value) <= max(2 * ours.sem, 0.05)


def _lower(values: Values) -> bool:
    least = min(values(comparison=_name(pair)).min() for pair in _ARCHITECTURES)
    return bool(values(comparison=_name(_BASELINE)).max() < least)


TEXT32 = Study(
    _FIGURE,
    "Embeddings of different architectures, stepwise",
    lambda protocol: list(_measured(protocol)),
    (
        *(
            Claim(
                f"{_name(pair)}: IIA above the paper's bound",
                "the mean worst IIA exceeds it within one standard error",
                _as_high(pair),
                carrying(comparison=_name(pair)),
            )
            for pair in _ARCHITECTURES
        ),
        Claim(
            "A GRU of another task is as far away as in the paper",
            "the mean is within two standard errors of the paper's, or within 0.05",
            _as_the_baseline,
            carrying(comparison=_name(_BASELINE)),
        ),
        Claim(
            "and further than any network of the same task",
            "its best pair is below the worst of the others",
            _lower,
            carrying(comparison=_name(_BASELINE)),
        ),
    ),
    (Panel(_PANEL, "Embeddings, stepwise", groups="comparison"),),
)
