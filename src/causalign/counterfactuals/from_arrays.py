"""Interventions from arrays: for data that no causal model here writes.

Rows are checked before a network reads any of them. What is masked out (a tokenizer's pads, on either side) is dropped,
so that positions are those of the tokens that are there.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor

from causalign.engine.activation_cache import Activations, read_tokens
from causalign.errors import CausalignError
from causalign.sites.base import Site
from causalign.storage import Store
from causalign.tasks.base import Sequences

_NEEDED = ("source_tokens", "source_positions", "target_tokens", "target_positions", "continuations")
_OPTIONAL = ("determined", "source_mask", "target_mask")

Ragged = Sequence[Any] | Iterable[Any]
"""Rows of numbers: a matrix, or a list of lists that may differ in length."""


@dataclass(frozen=True, eq=False)
class Arrays:
    """The rows of a user's interventions, found to fit each other and their networks."""

    sides: tuple["Side", "Side"]
    """The source's and the target's."""
    tokens: Int[np.ndarray, "rows steps"]
    """Of the continuations, filled up with 0."""
    determined: Bool[np.ndarray, "rows steps"]
    lengths: Int[np.ndarray, " rows"]

    @classmethod
    def checked(cls, sides: tuple["Side", "Side"], continuations: Ragged, determined: Ragged | None) -> "Arrays":
        """The rows of both sides, and what is to follow.

        Raises:
            CausalignError: there are not as many of each, or a continuation is not in the vocabulary, or not scored.
        """
        wanted = _rows("continuations", continuations)
        scored = [np.ones_like(row) for row in wanted] if determined is None else _rows("determined", determined)
        source, target = (len(side.tokens) for side in sides)
        if not source == target == len(wanted) == len(scored) or not wanted:
            raise CausalignError(
                f"interventions have a row each in all arrays, and at least one; found {source} of the source, "
                f"{target} of the target, {len(wanted)} continuations and {len(scored)} rows of what is determined"
            )
        return cls(sides, *_continuations(sides[1].site, wanted, scored))

    def require_same_positions(self) -> None:
        """Check that swaps go up to the same position on both sides, as stepwise ones do.

        Raises:
            CausalignError: they do not; the first such row is named.
        """
        source, target = (side.positions for side in self.sides)
        if (source != target).any():
            row = int((source != target).nonzero()[0][0])
            raise CausalignError(
                f"row {row}: a stepwise swap goes to one position on both sides, found {source[row]} and {target[row]}"
            )


def columns_of(table: Any) -> dict[str, Any]:
    """The arrays in a table whose columns are named as they are.

    Raises:
        CausalignError: a column is missing.
    """
    names = list(getattr(table, "column_names", None) or table.keys())
    for name in _NEEDED:
        if name not in names:
            raise CausalignError(f"the table has no column {name}; it has {', '.join(map(str, names))}")
    return {name: list(table[name]) for name in (*_NEEDED, *_OPTIONAL) if name in names}


@dataclass(frozen=True, eq=False)
class Side:
    """The trials of one end, pads dropped, and where their states are read or swapped."""

    site: Site
    tokens: list[Int[np.ndarray, " _"]]
    positions: Int[np.ndarray, " rows"]

    @classmethod
    def of(cls, end: str, site: Site, tokens: Ragged, positions: Ragged, mask: Ragged | None) -> "Side":
        """Check the rows of one end and drop their pads."""
        rows = _rows(f"{end}_tokens", tokens)
        at = np.concatenate([np.zeros(0, dtype=np.int64), *_rows(f"{end}_positions", [[each] for each in positions])])
        there = [np.ones_like(row) for row in rows] if mask is None else _rows(f"{end}_mask", mask)
        if not len(rows) == len(at) == len(there):
            raise CausalignError(
                f"{len(rows)} rows of {end}_tokens, {len(at)} {end}_positions and {len(there)} rows of their mask"
            )
        kept = []
        for index, (row, position, present) in enumerate(zip(rows, at, there, strict=True)):
            if len(present) != len(row):
                raise CausalignError(f"row {index}: {end}_mask has {len(present)} entries for {len(row)} {end}_tokens")
            if not 0 <= position < len(row) or not present[position]:
                raise CausalignError(f"row {index}: there is no token at {end}_positions {position} of {len(row)}")
            at[index] = np.count_nonzero(present[:position])
            kept.append(row[present != 0])
            _require_known(kept[-1], site, index, f"{end}_tokens")
        return cls(site, kept, at)

    def record(self, stepwise: bool, store: Store) -> Activations:
        """The states at the positions, or stepwise up to them; tokens behind them are not read."""
        time = np.arange(int(self.positions.max()) + 1)
        present = time <= self.positions[:, None]
        tokens = np.zeros(present.shape, dtype=np.int64)
        tokens[present] = np.concatenate([row[: at + 1] for row, at in zip(self.tokens, self.positions, strict=True)])
        kept = present if stepwise else time == self.positions[:, None]
        of_network: Tensor = torch.from_numpy(tokens).to(self.site.device)
        states, row, prefix = read_tokens(self.site, of_network, present, kept, store, stepwise)
        trials, index = Sequences(tokens, np.zeros_like(present), {}), np.arange(len(tokens))
        return Activations(
            trials, index, self.positions, self.site.device, states, row, prefix, stepwise, self.site.name
        )


def _rows(name: str, given: Ragged) -> list[Int[np.ndarray, " _"]]:
    """Rows of whole numbers."""
    rows = []
    for index, row in enumerate(given):
        try:
            numbers = np.asarray(row)
        except ValueError:
            numbers = np.empty((0, 0))
        if numbers.ndim != 1 or numbers.dtype.kind not in "iub":
            raise CausalignError(f"{name}, row {index}: whole numbers in a row are needed, found {str(row)[:60]}")
        rows.append(numbers.astype(np.int64))
    return rows


def _require_known(tokens: Int[np.ndarray, " _"], site: Site, row: int, name: str) -> None:
    known = site.network.known
    outside = tokens[(tokens < 0) | (tokens >= known)]
    if len(outside):
        raise CausalignError(
            f"row {row}: {name} has the id {outside[0]}, and {site.network.name} has the token ids 0 to {known - 1}"
        )


def _continuations(
    target: Site, wanted: list[Int[np.ndarray, " _"]], scored: list[Int[np.ndarray, " _"]]
) -> tuple[Int[np.ndarray, "rows steps"], Bool[np.ndarray, "rows steps"], Int[np.ndarray, " rows"]]:
    """The continuations filled up with 0, which of their tokens are scored, and how many each has."""
    lengths = np.array([np.count_nonzero(row >= 0) for row in wanted])
    tokens = np.zeros((len(wanted), max(1, lengths.max())), dtype=np.int64)
    counted = np.zeros(tokens.shape, dtype=bool)
    for index, (row, mask, length) in enumerate(zip(wanted, scored, lengths, strict=True)):
        if len(mask) != len(row):
            raise CausalignError(f"row {index}: determined has {len(mask)} entries for {len(row)} continuations")
        if (row[:length] < 0).any():
            raise CausalignError(f"row {index}: continuations has a negative id before its end")
        _require_known(row[:length], target, index, "continuations")
        if not mask[:length].any():
            raise CausalignError(f"row {index}: determined selects nothing of {length} continuations")
        tokens[index, :length], counted[index, :length] = row[:length], mask[:length] != 0
    return tokens, counted, lengths
