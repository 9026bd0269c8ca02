"""Rows, and selections of rows, that several studies share."""

from collections.abc import Callable, Sequence

from causalign.reproduction.study import Protocol, StudyRow

MAS, GRAM_SCHMIDT, STEPWISE = "MAS (exponential)", "MAS (Gram-Schmidt)", "embedding, stepwise"
CORRELATIONAL = ("RSA (Spearman)", "RSA (Pearson)", "CKA")
Pairs = Sequence[tuple[str, str]]


def similarities(protocol: Protocol, comparison: str, site: str, pairs: Pairs, panel: str) -> list[StudyRow]:
    """Return one row for each correlational measure of the same pairs."""
    compared = tuple(protocol.compare(pair) for pair in pairs)
    return [StudyRow(panel, comparison, site, measure, compared, measure) for measure in CORRELATIONAL]


def carrying(**named: str | Sequence[str]) -> Callable[[StudyRow], bool]:
    """Return a function that says whether the panel, comparison, site or metric of a row is, or is among, these."""

    def matches(row: StudyRow) -> bool:
        return all(
            getattr(row, name) in ([value] if isinstance(value, str) else value) for name, value in named.items()
        )

    return matches
