"""User-supplied inputs and labels: token ids, the positions of swaps, and expected outputs.

Everything is checked before a network reads it. Masked tokens (a tokenizer's padding, on either side) are dropped, and
positions count the tokens that remain.
"""

from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Int

from causalign.errors import InvalidArgument
from causalign.sites.base import Site

IGNORED = -100
"""The label of a token that is not scored, as in Hugging Face's transformers."""
Rows = Sequence[Any] | Iterable[Any]
"""Rows of ids: a matrix, or a list of lists that may differ in length."""


class PerSite(tuple[Any, ...]):
    """An argument that differs between sites: `PerSite([for the first site, for the second site])`."""

    __slots__ = ()


@dataclass(frozen=True, eq=False)
class Inputs:
    """The source or the target inputs, in the ids of one network."""

    ids: tuple[Int[np.ndarray, " _"], ...]
    positions: Int[np.ndarray, " rows"]
    """The position at which each state is read or swapped. Stepwise, all positions up to it are."""

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def lengths(self) -> Int[np.ndarray, " rows"]:
        """The number of tokens of each input."""
        return np.array([len(row) for row in self.ids], dtype=np.int64)

    def take(self, rows: Int[np.ndarray, " chosen"]) -> "Inputs":
        """Return some rows."""
        return Inputs(tuple(self.ids[int(row)] for row in rows), self.positions[rows])

    def padded(self, rows: Int[np.ndarray, " chosen"], time: int) -> Int[np.ndarray, "chosen time"]:
        """Return the first `time` tokens of some inputs, padded with 0."""
        tokens = np.zeros((len(rows), time), dtype=np.int64)
        for index, row in enumerate(rows):
            ids = self.ids[int(row)][:time]
            tokens[index, : len(ids)] = ids
        return tokens

    def update(self, digest: Any) -> None:
        """Add the inputs to a hash."""
        digest.update(self.lengths.tobytes() + self.positions.tobytes())
        for row in self.ids:
            digest.update(row.tobytes())

    def require_positions(self, targets: "Inputs") -> None:
        """Check that every row has the same position in both inputs, as stepwise swaps need.

        Raises:
            InvalidArgument: A row has different positions. The message names the first such row.
        """
        differ = np.flatnonzero(self.positions != targets.positions)
        if len(differ):
            row = int(differ[0])
            raise InvalidArgument(
                f"row {row}: a stepwise swap needs the same position in both inputs; found {self.positions[row]} in "
                f"the source and {targets.positions[row]} in the target"
            )

    @classmethod
    def checked(cls, end: str, site: Site, ids: Rows, positions: Any, mask: Rows | None) -> "Inputs":
        """Check the source or the target inputs, and drop masked tokens.

        Raises:
            InvalidArgument: Arrays differ in length, an id is not in the vocabulary, or a position is not in its row.
                The message names the row.
        """
        rows = whole_rows(f"{end}_inputs", ids)
        if mask is None:
            _require_no_pads(end, site, rows)
        present = [np.ones_like(row) for row in rows] if mask is None else whole_rows(f"{end}_mask", mask)
        at = _positions(end, positions, len(rows))
        if len(present) != len(rows):
            raise InvalidArgument(f"{end}_mask has {len(present)} rows for {len(rows)} {end}_inputs")
        kept = []
        for index, (row, there) in enumerate(zip(rows, present, strict=True)):
            if len(there) != len(row):
                raise InvalidArgument(f"row {index}: {end}_mask has {len(there)} entries for {len(row)} {end}_inputs")
            kept.append(row[there != 0])
            if at[index] < 0:
                at[index] += len(kept[-1])
                inside = at[index] >= 0
            else:
                inside = at[index] < len(row) and bool(there[at[index]])
                at[index] = np.count_nonzero(there[: at[index]])
            if not inside:
                where = positions if np.ndim(positions) == 0 else np.asarray(list(positions))[index]
                raise InvalidArgument(
                    f"row {index}: there is no token at {end}_positions {where}; the row has length {len(row)}"
                )
            require_ids(kept[-1], site.network.inputs, site.network.name, f"row {index}: {end}_inputs")
        return cls(tuple(kept), at)


@dataclass(frozen=True, eq=False)
class Labels:
    """The expected output after each input, in the ids of one network."""

    ids: tuple[Int[np.ndarray, " _"], ...]
    """The tokens that follow each input, scored or not."""
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
            labels: For each row an id; a list of ids, where -100 marks an id that is not scored; or a set of ids, any
                of which is correct.
            continuations: For each row the ids that are read where the label is -100 before a scored id.

        Raises:
            InvalidArgument: A label is not in the vocabulary, it is text, or no token of it is scored. The message
                names the row.
        """
        if isinstance(labels, str) or not isinstance(labels, Iterable):
            raise InvalidArgument(f"labels must have one entry for each row, found {type(labels).__name__}")
        listed = list(labels)
        read = [None] * len(listed) if continuations is None else whole_rows("continuations", continuations)
        if len(read) != len(listed):
            raise InvalidArgument(f"continuations has {len(read)} rows for {len(listed)} labels")
        network, ids, scored, allowed = site.network, [], [], []
        for index, (label, fed) in enumerate(zip(listed, read, strict=True)):
            row, others = _label(label, index)
            row = row[: len(row) - int(np.argmax(row[::-1] != IGNORED))] if (row != IGNORED).any() else row[:0]
            if not len(row):
                raise InvalidArgument(f"row {index}: no token of the label is scored")
            mask = row != IGNORED
            if not mask.all():
                row = np.where(mask, row, _fed(fed, row, index))
            require_ids(np.concatenate([row, others]), network.known, network.name, f"row {index}: labels")
            ids.append(row)
            scored.append(mask)
            allowed.append(others)
        return cls(tuple(ids), tuple(scored), _alternatives(allowed))


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
        first, *others = sorted(label) or [None]
        if not all(isinstance(each, int | np.integer) for each in label) or first is None:
            raise InvalidArgument(f"row {index}: a label that is a set must hold one or more ids, found {label!r}")
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


def whole_rows(name: str, given: Rows, first: int = 0) -> list[Int[np.ndarray, " _"]]:
    """Return rows of ids as arrays of whole numbers. `first` is the number of the first row in error messages.

    Raises:
        InvalidArgument: A row is empty, or holds something else. The message names the row.
    """
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise InvalidArgument(f"{name} must be rows of ids, found {type(given).__name__}")
    rows = []
    for index, row in enumerate(given, start=first):
        try:
            numbers = np.asarray(row)
        except ValueError:
            numbers = np.empty((0, 0))
        if numbers.ndim != 1 or numbers.dtype.kind not in "iub" or not len(numbers):
            raise InvalidArgument(
                f"{name}, row {index}: a row must be a sequence of whole numbers, found {str(row)[:60]}"
            )
        rows.append(numbers.astype(np.int64))
    return rows


def require_ids(ids: Int[np.ndarray, " _"], known: int, network: str, what: str) -> None:
    """Check that a network knows every id.

    Raises:
        InvalidArgument: An id is not in the vocabulary.
    """
    outside = ids[(ids < 0) | (ids >= known)]
    if len(outside):
        raise InvalidArgument(f"{what} has the id {outside[0]}, but {network} has the token ids 0 to {known - 1}")


def _positions(end: str, positions: Any, rows: int) -> Int[np.ndarray, " rows"]:
    """Return one position for each row. A single number applies to all rows."""
    if positions is None:
        raise InvalidArgument(
            f"{end}_positions must be a whole number (-1 is the last token), or one per row; found None"
        )
    at = np.asarray(positions if np.ndim(positions) == 0 else list(positions))
    if at.dtype.kind not in "iu" or at.ndim > 1:
        raise InvalidArgument(f"{end}_positions must be a whole number, or one per row; found {str(positions)[:60]}")
    if at.ndim == 1 and len(at) != rows:
        raise InvalidArgument(
            f"{end}_positions needs one entry for each of {rows} rows of {end}_inputs; found {len(at)}"
        )
    return np.broadcast_to(at, rows).astype(np.int64).copy()


def _require_no_pads(end: str, site: Site, rows: Sequence[Int[np.ndarray, " _"]]) -> None:
    """Check that no row begins or ends with the model's pad token, which would need a mask."""
    config = getattr(getattr(site.network, "model", None), "config", None)
    pad, begin = getattr(config, "pad_token_id", None), getattr(config, "bos_token_id", None)
    if pad is None or pad == begin:
        return
    ends = pad != getattr(config, "eos_token_id", None)
    for index, row in enumerate(rows):
        first, last = row[0] == pad, ends and row[-1] == pad
        if (first or last) and len(row) > 1 and len(rows) > 1:
            raise InvalidArgument(
                f"row {index}: {end}_inputs {'begins' if first else 'ends'} with the pad {pad} of "
                f"{site.network.name}, but there is no mask: "
                f"give {end}_mask, the tokenizer's attention_mask, or rows without pads"
            )


def key_of(value: Any) -> Any:
    """Return a hashable equivalent of a value in a table."""
    if isinstance(value, set | frozenset):
        return ("any of", tuple(sorted(map(str, value))))
    if isinstance(value, list | tuple):
        return tuple(key_of(each) for each in value)
    return key_of(value.tolist()) if hasattr(value, "tolist") else value  # numpy and torch


def of_site(given: Any, index: int) -> Any:
    """Return the argument of one site: its own entry of a `PerSite` or of names, or the same argument for all.

    Raises:
        InvalidArgument: There is no entry for the site.
    """
    if isinstance(given, PerSite) or (isinstance(given, list | tuple) and all(isinstance(each, str) for each in given)):
        if index >= len(given):
            raise InvalidArgument(
                f"an argument that differs between sites needs an entry for each; site {index} has none of {len(given)}"
            )
        return given[index]
    return given
