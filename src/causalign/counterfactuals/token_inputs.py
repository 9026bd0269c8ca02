"""Inputs of token ids, which a network reads from left to right.

Masked tokens (a tokenizer's padding, on either side) are dropped, and positions count the tokens that remain.
"""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor
from typing_extensions import override

from causalign.counterfactuals.inputs import (
    ExpectedOutput,
    Inputs,
    SuppliedInputs,
    positions_of,
    remaining_position,
    require_ascending,
    require_ids,
    require_no_pads,
    whole_rows,
)
from causalign.counterfactuals.labels import Labels
from causalign.engine.activation_cache import Activations, unlabelled
from causalign.errors import InvalidArgument
from causalign.networks.base import Network
from causalign.readings.request import ReadingRequest
from causalign.run_context import RunContext
from causalign.sites.base import Site
from causalign.sites.checks import check_rows

_CHECKED = 16  # number of rows on which a site is checked
_AT_ONCE = 256  # rows whose logits are computed together


@dataclass(frozen=True, eq=False)
class TokenInputs(Inputs):
    """Rows of ids. After a swap the network reads the rest of the row, and then its label."""

    ids: tuple[Int[np.ndarray, " _"], ...]
    positions: Int[np.ndarray, "rows swaps"]

    @property
    @override
    def lengths(self) -> Int[np.ndarray, " rows"]:
        return np.array([len(row) for row in self.ids], dtype=np.int64)

    @override
    def take(self, rows: Int[np.ndarray, " chosen"]) -> "TokenInputs":
        return TokenInputs(tuple(self.ids[int(row)] for row in rows), self.positions[rows])

    @override
    def key(self, row: int) -> Hashable:
        return self.ids[row].tobytes(), self.positions[row].tobytes()

    @override
    def update(self, digest: Any) -> None:
        digest.update(self.lengths.tobytes() + self.positions.tobytes())
        for row in self.ids:
            digest.update(row.tobytes())

    @override
    def expected(self, labels: Labels) -> ExpectedOutput:
        """Return the rest of each input, which is not scored, and then its label."""
        rest = self.lengths - self.first - 1
        lengths = rest + labels.lengths
        tokens = np.zeros((len(lengths), int(lengths.max())), dtype=np.int64)
        scored = np.zeros(tokens.shape, dtype=bool)
        for row, (ids, position) in enumerate(zip(self.ids, self.first, strict=True)):
            tokens[row, : rest[row]] = ids[position + 1 :]
            tokens[row, rest[row] : lengths[row]] = labels.ids[row]
            scored[row, rest[row] : lengths[row]] = labels.scored[row]
        return ExpectedOutput(tokens, scored, lengths)

    @override
    def read(self, site: Site, context: RunContext, *, stepwise: bool, with_prefix: bool) -> Activations:
        """Read the states of a site at the positions or, stepwise, up to them. Tokens after them are not read."""
        last = self.positions[:, -1]
        present = np.arange(int(last.max()) + 1) <= last[:, None]
        kept = present if stepwise else np.zeros_like(present)
        kept[np.arange(len(self))[:, None], self.positions] = True

        def ids(chunk: Int[np.ndarray, " chunk"], longest: int) -> Int[Tensor, "chunk longest"]:
            return torch.from_numpy(self._padded(chunk, longest)).to(site.device)

        states, prefix = context.read(site, ReadingRequest(ids, present, kept, stepwise, with_prefix))
        return unlabelled(site, self.positions, kept, states, prefix if with_prefix else None, stepwise=stepwise)

    def _padded(self, rows: Int[np.ndarray, " chosen"], time: int) -> Int[np.ndarray, "chosen time"]:
        """Return the first `time` tokens of some inputs, padded with 0."""
        tokens = np.zeros((len(rows), time), dtype=np.int64)
        for index, row in enumerate(rows):
            ids = self.ids[int(row)][:time]
            tokens[index, : len(ids)] = ids
        return tokens

    @override
    def check(self, site: Site, labels: Labels, seed: int, stepwise: bool) -> None:
        ends = np.argsort(self.lengths + labels.lengths, kind="stable")
        some = np.unique(np.concatenate([ends[: _CHECKED // 2], ends[-_CHECKED // 2 :]]))
        few = self.take(some)
        whole, remaining = few._whole(labels.take(some))
        check_rows(site, torch.from_numpy(whole).to(site.device), few.first, remaining, seed=seed, stepwise=stepwise)

    def _whole(self, labels: Labels) -> tuple[Int[np.ndarray, "rows time"], Int[np.ndarray, " rows"]]:
        """Return each input followed by its label, padded, and the number of tokens after the first swap."""
        tokens, _, lengths = self.expected(labels)
        ends = self.first + 1 + lengths
        whole = np.zeros((len(ends), int(ends.max())), dtype=np.int64)
        for row, (ids, position) in enumerate(zip(self.ids, self.first, strict=True)):
            whole[row, : position + 1] = ids[: position + 1]
            whole[row, position + 1 : ends[row]] = tokens[row, : lengths[row]]
        return whole, lengths

    @override
    @torch.no_grad()
    def completed(self, site: Site, labels: Labels) -> Bool[np.ndarray, " rows"]:
        whole, remaining = self._whole(labels)
        scored = np.zeros(whole.shape, dtype=bool)
        for row, (end, mask) in enumerate(zip(self.first + 1 + remaining, labels.scored, strict=True)):
            scored[row, end - len(mask) : end] = mask
        right = []
        for rows in np.array_split(np.arange(len(whole)), -(-len(whole) // _AT_ONCE)):
            tokens = torch.from_numpy(whole[rows]).to(site.device)
            predicted = site.network(tokens)[:, :-1].argmax(-1).cpu().numpy()
            wrong = predicted != whole[rows, 1:]
            if labels.allowed is not None:
                wrong &= (predicted[:, :, None] != labels.allowed[rows][:, None, :]).all(axis=2)
            right.append(~(wrong & scored[rows, 1:]).any(axis=1))
        return np.concatenate(right)

    @classmethod
    def checked(cls, site: Site, supplied: SuppliedInputs) -> "TokenInputs":
        """Check the source or the target inputs, and drop masked tokens.

        Raises:
            InvalidArgument: Arrays differ in length, an id is not in the vocabulary, a position is not in its row, or
                the site's network has no output at named positions. The message names the row.
        """
        end = supplied.end
        if supplied.label_positions is not None:
            raise InvalidArgument(
                f"{site.network.name} predicts the token that follows its input: label_positions are for modules with "
                "an output at every position of an input that is read as a whole"
            )
        rows = whole_rows(f"{end}_inputs", supplied.inputs)
        if supplied.mask is None:
            require_no_pads(end, site.network.name, _config(site.network), rows)
            present = [np.ones_like(row) for row in rows]
        else:
            present = whole_rows(f"{end}_mask", supplied.mask)
        at = positions_of(end, supplied.positions, len(rows))
        if len(present) != len(rows):
            raise InvalidArgument(f"{end}_mask has {len(present)} rows for {len(rows)} {end}_inputs")
        kept = []
        for index, (row, there) in enumerate(zip(rows, present, strict=True)):
            if len(there) != len(row):
                raise InvalidArgument(f"row {index}: {end}_mask has {len(there)} entries for {len(row)} {end}_inputs")
            kept.append(row[there != 0])
            at[index] = [remaining_position(f"{end}_positions", int(each), there, index) for each in at[index]]
            require_ids(kept[-1], site.network.inputs, site.network.name, f"row {index}: {end}_inputs")
        require_ascending(end, at)
        return cls(tuple(kept), at)


def _config(network: Network) -> Any:
    """Return the configuration of the model of a network; `None` if it has none."""
    return getattr(getattr(network, "model", getattr(network, "module", None)), "config", None)
