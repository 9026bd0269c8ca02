"""The numbers that the paper states, and where: the one place where any of them is written down."""

from typing import NamedTuple


class Citation(NamedTuple):
    """A number of the paper."""

    value: float
    relation: str
    """`=`, or `>` where the paper gives a bound."""
    where: str


_BASELINE, _EMBEDDINGS = "multi-object/gru x same-object/gru", "embedding, stepwise"
_GS = "MAS (Gram-Schmidt)"

CITED: dict[tuple[str, ...], Citation] = {
    ("text32", "section 3.2", "multi-object/gru x multi-object/transformer", _EMBEDDINGS, _GS): Citation(
        0.99, ">", "section 3.2"
    ),
    ("text32", "section 3.2", "multi-object/gru x multi-object/lstm", _EMBEDDINGS, _GS): Citation(
        0.99, ">", "section 3.2"
    ),
    ("text32", "section 3.2", "multi-object/transformer x multi-object/lstm", _EMBEDDINGS, _GS): Citation(
        0.99, ">", "section 3.2"
    ),
    ("text32", "section 3.2", _BASELINE, _EMBEDDINGS, _GS): Citation(0.555, "=", "section 3.2"),
    ("text32", "section 3.2", "multi-object/gru x language model in context", _EMBEDDINGS, _GS): Citation(
        0.400, "=", "section 3.2, of DeepSeek-R1-Distill-Llama-8B"
    ),
}
"""By figure, panel, comparison, site and metric. Figures without a printed number have claims only."""


def cited(*row: str) -> Citation | None:
    """What the paper states of a row, if it states a number."""
    return CITED.get(row)
