"""Rows that several studies share."""

from collections.abc import Callable, Sequence

from causalign.studies.study import Measured, Protocol

MAS, GRAM_SCHMIDT, STEPWISE = "MAS (exponential)", "MAS (Gram-Schmidt)", "embedding, stepwise"
CORRELATIONAL = ("RSA (Spearman)", "RSA (Pearson)", "CKA")
Pairs = Sequence[tuple[str, str]]


def similarities(protocol: Protocol, comparison: str, site: str, pairs: Pairs, panel: str) -> list[Measured]:
    """A row for each correlational measure of the same pairs."""
    compared = tuple(protocol.compare(pair) for pair in pairs)
    return [Measured(panel, comparison, site, measure, compared, measure) for measure in CORRELATIONAL]


def carrying(**named: str | Sequence[str]) -> Callable[[Measured], bool]:
    """The rows whose panel, comparison, site, or metric is (one of) these."""

    def chosen(row: Measured) -> bool:
        return all(
            getattr(row, name) in ([asked] if isinstance(asked, str) else asked) for name, asked in named.items()
        )

    return chosen
