"""User-supplied labels: the expected output of each row, in the ids of one network."""

from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Int, Num

from causalign.counterfactuals.inputs import Rows, require_ids, whole_rows
from causalign.errors import InvalidArgument
from causalign.networks.tensor_module import TensorModule
from causalign.sites.base import Site

IGNORED = -100
"""The label of a token that is not scored, as in Hugging Face's transformers."""


@dataclass(frozen=True, eq=False)
class Labels:
    """The expected output after each input, in the ids of one network."""

    ids: tuple[Num[np.ndarray, " _"], ...]
    """The tokens or the classes that are expected of each input, scored or not; or numbers, for a regression."""
    scored: tuple[Bool[np.ndarray, " _"], ...]
    """Whether each of these tokens is scored."""
    allowed: Int[np.ndarray, "rows alternatives"] | None = None
    """Further correct ids of rows with a single scored token, padded with -100."""

    @property
    def lengths(self) -> Int[np.ndarray, " rows"]:
        """The number of tokens of each label."""
        return np.array([len(row) for row in self.ids], dtype=np.int64)

    def take(self, rows: Int[np.ndarray, " chosen"]) -> "Labels":
        """Return some rows."""
        return Labels(
            tuple(self.ids[int(row)] for row in rows),
            tuple(self.scored[int(row)] for row in rows),
            None if self.allowed is None else self.allowed[rows],
        )

    def update(self, digest: Any) -> None:
        """Add the labels to a hash."""
        for ids, scored in zip(self.ids, self.scored, strict=True):
            digest.update(ids.tobytes() + scored.tobytes())
        if self.allowed is not None:
            digest.update(self.allowed.tobytes())

    @classmethod
    def checked(cls, site: Site, labels: Rows, continuations: Rows | None = None) -> "Labels":
        """Check the expected outputs of one target.

        Args:
            site: The target.
            labels: For each row an id, of a token or of a class; numbers, for a regression; a list of ids, where -100
                marks an id that is not scored; or a set of ids, any of which is correct.
            continuations: For each row the ids that are read where the label is -100 before a scored id.

        Raises:
            InvalidArgument: A label is not in the vocabulary, it is text, or no token of it is scored. The message
                names the row.
        """
        if isinstance(labels, str) or not isinstance(labels, Iterable):
            raise InvalidArgument(f"labels must have one entry for each row, found {type(labels).__name__}")
        listed = list(labels)
        if not listed:
            raise InvalidArgument("labels must have one entry for each row, found an empty list")
        read = [None] * len(listed) if continuations is None else whole_rows("continuations", continuations)
        if len(read) != len(listed):
            raise InvalidArgument(f"continuations has {len(read)} rows for {len(listed)} labels")
        network, ids, scored, allowed = site.network, [], [], []
        if network.regression is not None:
            return cls._numbers(listed, int(network.known))
        single = isinstance(network, TensorModule) and not network.per_position
        kind = "classes" if single else "token ids"
        for index, (label, fed) in enumerate(zip(listed, read, strict=True)):
            row, others = _label(label, index)
            row = row[: len(row) - int(np.argmax(row[::-1] != IGNORED))] if (row != IGNORED).any() else row[:0]
            if not len(row):
                raise InvalidArgument(f"row {index}: no token of the label is scored")
            mask = row != IGNORED
            if not mask.all():
                row = np.where(mask, row, _fed(fed, row, index))
            if single and len(row) > 1:
                raise InvalidArgument(
                    f"row {index}: there are {len(row)} labels, and {network.name} has one output a row"
                )
            require_ids(np.concatenate([row, others]), network.known, network.name, f"row {index}: labels", kind)
            ids.append(row)
            scored.append(mask)
            allowed.append(others)
        return cls(tuple(ids), tuple(scored), _alternatives(allowed))

    @classmethod
    def _numbers(cls, labels: Sequence[Any], count: int) -> "Labels":
        """Return the labels of a regression: as many numbers in each row as the module predicts."""
        found = []
        for index, label in enumerate(labels):
            try:
                numbers = np.asarray(label, dtype=np.float32).reshape(-1)
            except (TypeError, ValueError):
                raise InvalidArgument(f"row {index}: a label of a regression is numbers, found {label!r}") from None
            if len(numbers) != count or not np.isfinite(numbers).all():
                raise InvalidArgument(f"row {index}: a label must be {count} finite numbers; found {label!r}")
            found.append(numbers)
        return cls(tuple(found), tuple(np.ones(count, dtype=bool) for _ in found))


def _alternatives(allowed: Sequence[Int[np.ndarray, " _"]]) -> Int[np.ndarray, "rows alternatives"] | None:
    most = max(len(others) for others in allowed)
    if not most:
        return None
    table = np.full((len(allowed), most), IGNORED, dtype=np.int64)
    for row, others in enumerate(allowed):
        table[row, : len(others)] = others
    return table


def _label(label: Any, index: int) -> tuple[Int[np.ndarray, " _"], Int[np.ndarray, " _"]]:
    """Return the ids of a label, and further correct ids."""
    if isinstance(label, str):
        raise InvalidArgument(f"row {index}: the label {label!r} is text: give a tokenizer, or ids")
    if isinstance(label, Set):
        if not label or not all(isinstance(each, int | np.integer) for each in label):
            raise InvalidArgument(f"row {index}: a label that is a set must hold one or more ids, found {label!r}")
        first, *others = sorted(label)
        return np.array([first], dtype=np.int64), np.array(others, dtype=np.int64)
    (row,) = whole_rows("labels", [[label] if np.ndim(label) == 0 else label], first=index)
    if (row < 0).any() and (row[row < 0] != IGNORED).any():
        raise InvalidArgument(
            f"row {index}: labels has the id {row[row < 0].max()}; use -100 for a token that is not scored"
        )
    return row, np.zeros(0, dtype=np.int64)


def _fed(fed: Int[np.ndarray, " _"] | None, row: Int[np.ndarray, " _"], index: int) -> Int[np.ndarray, " _"]:
    if fed is None:
        raise InvalidArgument(
            f"row {index}: the label is -100 before a scored id: give continuations, the ids that are read there"
        )
    if len(fed) < len(row):
        raise InvalidArgument(f"row {index}: continuations has {len(fed)} ids for {len(row)} labels")
    return fed[: len(row)]
