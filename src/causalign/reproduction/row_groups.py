"""Rows that several studies share."""

from collections.abc import Callable, Sequence

from causalign.reproduction.study import Protocol, StudyRow

MAS, GRAM_SCHMIDT, STEPWISE = "MAS (exponential)", "MAS (Gram-Schmidt)", "embedding, stepwise"
CORRELATIONAL = ("RSA (Spearman)", "RSA (Pearson)", "CKA")
Pairs = Sequence[tuple[str, str]]


def similarities(protocol: Protocol, comparison: str, site: str, pairs: Pairs, panel: str) -> list[StudyRow]:
    """A row for each correlational measure of the same pairs."""
    compared = tuple(protocol.compare(pair) for pair in pairs)
    return [StudyRow(panel, comparison, site, measure, compared, measure) for measure in CORRELATIONAL]


def carrying(**named: str | Sequence[str]) -> Callable[[StudyRow], bool]:
    """The rows whose panel, comparison, site, or metric is (one of) these."""

    def chosen(row: StudyRow) -> bool:
        return all(
            getattr(row, name) in ([asked] if isinstance(asked, str) else asked) for name, asked in named.items()
        )

    return chosen
