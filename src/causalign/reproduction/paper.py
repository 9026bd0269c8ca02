"""The numbers that the paper states. No other file contains them."""

from typing import NamedTuple


class Citation(NamedTuple):
    """A number that the paper states, and its place in the paper."""

    value: float
    relation: str
    """`=` for a value, `>` for a lower bound."""
    where: str
    """The section of the paper."""


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
"""The numbers of the paper, by figure, panel, comparison, site and metric. Figures in which the paper prints no number
have claims only."""


def cited(*row: str) -> Citation | None:
    """Return the number that the paper states for a row, or `None` if it states none."""
    return CITED.get(row)
