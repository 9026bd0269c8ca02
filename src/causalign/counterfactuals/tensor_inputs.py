"""Inputs that a network reads as a whole: vectors, images, padded ids with their mask, or several tensors by name."""

import hashlib
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from typing_extensions import override

from causalign.arrays import require_unmasked
from causalign.counterfactuals.inputs import (
    ExpectedOutput,
    Inputs,
    SuppliedInputs,
    positions_of,
    remaining_position,
    require_ascending,
    require_no_pads,
    whole_rows,
)
from causalign.counterfactuals.labels import Labels
from causalign.engine.activation_cache import Activations, unlabelled
from causalign.errors import InvalidArgument
from causalign.networks.example_inputs import DECODER_IDS, IDS, MASK, Tensors, first_id
from causalign.networks.tensor_module import TensorModule
from causalign.readings.request import ReadingRequest
from causalign.run_context import RunContext
from causalign.sites.base import Continuation, Places, Site
from causalign.sites.modules.tensor_check import check_tensors
from causalign.sites.modules.tensor_site import LABEL_POSITIONS, STATES, TensorSite
from causalign.sites.prefix import Prefix

_CHECKED = 16  # number of rows on which a site is checked
_AT_ONCE = 256  # rows that are read or run together


@dataclass(frozen=True, eq=False)
class TensorInputs(Inputs):
    """Tensors by name, with one row for each input. The label is the module's output on the whole input."""

    tensors: Tensors
    positions: Int[np.ndarray, "rows swaps"]
    label_positions: Int[np.ndarray, "rows labels"] | None = None
    """The positions of each row's labels in the output, where there is an output at every position."""

    @property
    @override
    def lengths(self) -> Int[np.ndarray, " rows"]:
        mask = self.tensors.get(MASK)
        return np.ones(len(self), dtype=np.int64) if mask is None else mask.sum(1).cpu().numpy()

    @override
    def take(self, rows: Int[np.ndarray, " chosen"]) -> "TensorInputs":
        index = torch.from_numpy(np.asarray(rows, dtype=np.int64))
        labelled = None if self.label_positions is None else self.label_positions[rows]
        return TensorInputs({name: each[index] for name, each in self.tensors.items()}, self.positions[rows], labelled)

    @override
    def key(self, row: int) -> Hashable:
        digest = hashlib.sha256()
        self.take(np.array([row])).update(digest)
        return digest.digest()

    @override
    def update(self, digest: Any) -> None:
        for name, each in sorted(self.tensors.items()):
            digest.update(name.encode() + each.cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
        digest.update(self.positions.tobytes())
        if self.label_positions is not None:
            digest.update(self.label_positions.tobytes())

    @override
    def expected(self, labels: Labels) -> ExpectedOutput:
        """Return the labels, padded."""
        lengths = labels.lengths
        tokens = np.zeros((len(lengths), int(lengths.max())), dtype=labels.ids[0].dtype)
        scored = np.zeros(tokens.shape, dtype=bool)
        for row, (ids, mask) in enumerate(zip(labels.ids, labels.scored, strict=True)):
            tokens[row, : len(ids)] = ids
            scored[row, : len(ids)] = mask
        return ExpectedOutput(tokens, scored, lengths)

    @override
    def require_labels(self, labels: Labels) -> None:
        if self.label_positions is None:
            return
        wrong = np.flatnonzero(labels.lengths != self.label_positions.shape[1])
        if len(wrong):
            row = int(wrong[0])
            raise InvalidArgument(
                f"row {row}: there are {labels.lengths[row]} labels for {self.label_positions.shape[1]} label_positions"
            )

    @override
    def read(self, site: Site, context: RunContext, *, stepwise: bool, with_prefix: bool) -> Activations:
        """Read the states of a site at the positions or, stepwise, up to them. The prefix is the inputs themselves."""
        time = int(self.positions.max()) + 1
        kept = np.zeros((len(self), time), dtype=bool)
        kept[np.arange(len(self))[:, None], self.positions] = True
        if stepwise:
            kept = np.arange(time) <= self.positions

        def some(chunk: Int[np.ndarray, " chunk"], _: int) -> Tensors:
            return {name: each[torch.from_numpy(chunk).to(each.device)] for name, each in self.tensors.items()}

        whole = np.ones((len(self), 1), dtype=bool)  # an input has one entry in the prefix
        request = ReadingRequest(some, whole, kept, stepwise, with_prefix, at_once=_AT_ONCE)
        states, read = context.read(site, request)
        prefix = self._prefix(site, read.tables.get(STATES)) if with_prefix else None
        return unlabelled(site, self.positions, kept, states, prefix, stepwise=stepwise)

    def _count(self, site: Site) -> int:
        """Return the number of positions of a state."""
        return site.read({name: each[:1] for name, each in self.tensors.items()}).shape[1]

    def _prefix(self, site: Site, states: Float[Tensor, "rows positions width"] | None = None) -> Prefix:
        tables = dict(self.tensors)
        if _tensor_site(site).keeps_states:
            tables[STATES] = site.read(self.tensors) if states is None else states
        if self.label_positions is not None:
            tables[LABEL_POSITIONS] = torch.from_numpy(self.label_positions).to(site.device)
        return site.prefix(tables)

    @override
    def check(self, site: Site, labels: Labels, seed: int, stepwise: bool) -> None:
        ends = np.argsort(self.lengths, kind="stable")
        some = np.unique(np.concatenate([ends[: _CHECKED // 2], ends[-_CHECKED // 2 :]]))
        some = some[np.argsort(-labels.lengths[some], kind="stable")]
        few, network = self.take(some), _tensor_site(site).network
        if self.label_positions is None and network.has_label_positions:  # source inputs have no labels
            few = replace(few, label_positions=np.repeat(few.positions[:, :1], int(labels.lengths.max()), axis=1))
        rows = torch.arange(len(some), device=site.device)
        places = Places(rows, torch.from_numpy(few.first).to(site.device))
        supplied = few._prefix(site), few._labels(site, labels.take(some))
        check_tensors(_tensor_site(site), few.tensors, supplied, places, seed)

    def _labels(self, site: Site, labels: Labels) -> Continuation:
        """Return the labels of rows that are sorted by the length of these, the longest first."""
        expected = self.expected(labels)
        tokens, lengths = (torch.from_numpy(each).to(site.device) for each in (expected.tokens, expected.lengths))
        return Continuation.pack(tokens, lengths)

    @override
    @torch.no_grad()
    def completed(self, site: Site, labels: Labels) -> Bool[np.ndarray, " rows"]:
        order = np.argsort(-labels.lengths, kind="stable")
        right = np.ones(len(self), dtype=bool)
        for rows in np.array_split(order, -(-len(order) // _AT_ONCE)):
            few, wanted = self.take(rows), labels.take(rows)
            continuation = few._labels(site, wanted)
            every = torch.arange(len(rows), device=site.device)
            found = site.read_out(_tensor_site(site).plain(few._prefix(site), every, continuation))
            row, step = continuation.trial.cpu().numpy(), continuation.step.cpu().numpy()
            hit = self._hit(site, found, continuation.tokens)
            if wanted.allowed is not None:
                hit |= (found.argmax(-1).cpu().numpy()[:, None] == wanted.allowed[row]).any(axis=1)
            wrong = ~hit & few.expected(wanted).scored[row, step]
            right[rows[row[wrong]]] = False
        return right

    def _hit(self, site: Site, found: Tensor, tokens: Tensor) -> Bool[np.ndarray, " labels"]:
        regression = site.network.regression
        hit = found.argmax(-1) == tokens if regression is None else regression.correct(found, tokens)
        return hit.cpu().numpy()

    @classmethod
    def checked(cls, site: Site, supplied: SuppliedInputs) -> "TensorInputs":
        """Check the source or the target inputs of a module that takes tensors.

        Raises:
            InvalidArgument: The inputs have another form than the example, an id is unknown, or a row has no such
                position. The message names the row.
        """
        end, network = supplied.end, _tensor_site(site).network
        tensors = network.tensors(_named(site, supplied), f"{end}_inputs")
        rows = len(next(iter(tensors.values())))
        with torch.no_grad():
            count = cls(tensors, np.zeros((rows, 1), dtype=np.int64))._count(site)
        mask = tensors.get(MASK)
        there = None if mask is None or mask.shape[1] != count else mask.cpu().numpy() != 0
        named = f"{end}_positions"
        at = positions_of(end, supplied.positions, rows)
        at = _within(named, at if there is None else _remaining(named, at, supplied), count, there)
        require_ascending(end, at)
        labelled = _label_positions(site, supplied, tensors) if end == "target" else None
        return cls(tensors, at, labelled)


def _tensor_site(site: Site) -> TensorSite:
    assert isinstance(site, TensorSite)
    return site


def _named(site: Site, supplied: SuppliedInputs) -> Any:
    """Return the inputs by name, with the mask of rows of ids and the first id of a decoder where they are left out."""
    network, end = _tensor_site(site).network, supplied.end
    given, example = supplied.inputs, network.example
    for name, each in given.items() if isinstance(given, Mapping) else [("", given)]:
        require_unmasked(each, f"{end}_inputs {name}".rstrip())
    if not isinstance(given, Mapping):
        if IDS not in example:
            if supplied.mask is not None:
                raise InvalidArgument(f"{network.name} takes no mask: leave {end}_mask out")
            return (
                given if hasattr(given, "shape") else np.asarray(list(given) if isinstance(given, Iterable) else given)
            )
        ids, mask = _padded(supplied, network)
        given = {IDS: ids, MASK: mask}
        if MASK not in example:
            if not mask.all():
                raise InvalidArgument(f"{network.name} takes no attention_mask, and the {end}_inputs differ in length")
            del given[MASK]
    elif supplied.mask is not None:
        raise InvalidArgument(f"{end}_mask is given beside inputs by name: name it {MASK} among them")
    named = dict(given)
    if not named:
        raise InvalidArgument(f"{end}_inputs lacks {', '.join(example)}, which the example has")
    rows = len(next(iter(named.values())))
    if MASK in example and MASK not in named and IDS in named:
        ids = torch.as_tensor(named[IDS]).cpu().numpy()
        require_no_pads(end, network.name, network.config, list(ids))
        named[MASK] = np.ones_like(ids)
    if network.decodes and DECODER_IDS not in named:
        named[DECODER_IDS] = np.full((rows, 1), first_id(network.config))
    return named


def _padded(
    supplied: SuppliedInputs, network: TensorModule
) -> tuple[Int[np.ndarray, "rows time"], Int[np.ndarray, "rows time"]]:
    """Return rows of ids without their masked tokens, padded on the right, and their mask.

    They are padded with the model's own pad, because some models find the last token of a row by it.
    """
    end = supplied.end
    rows = whole_rows(f"{end}_inputs", supplied.inputs)
    if not rows:
        raise InvalidArgument(f"{end}_inputs must be rows of ids, found none")
    if supplied.mask is None:
        require_no_pads(end, network.name, network.config, rows)
        present = [np.ones_like(row) for row in rows]
    else:
        present = whole_rows(f"{end}_mask", supplied.mask)
    if [len(each) for each in present] != [len(row) for row in rows]:
        raise InvalidArgument(f"{end}_mask must have an entry for every id of {end}_inputs")
    kept = [row[there != 0] for row, there in zip(rows, present, strict=True)]
    lengths = np.array([len(row) for row in kept])
    if not lengths.all():
        raise InvalidArgument(f"row {int(lengths.argmin())}: {end}_mask leaves no token of {end}_inputs")
    padded = np.full((len(kept), int(lengths.max())), _pad(network.config), dtype=np.int64)
    for index, row in enumerate(kept):
        padded[index, : len(row)] = row
    return padded, (np.arange(padded.shape[1]) < lengths[:, None]).astype(np.int64)


def _pad(config: Any) -> int:
    pad = getattr(config, "pad_token_id", None)
    return pad if isinstance(pad, int) and pad >= 0 else 0


def _remaining(
    name: str, positions: Int[np.ndarray, "rows swaps"], supplied: SuppliedInputs
) -> Int[np.ndarray, "rows swaps"]:
    """Return positions in the rows as they were supplied as positions among the tokens that are not masked.

    Raises:
        InvalidArgument: A position is masked, or not in its row.
    """
    if supplied.mask is None or isinstance(supplied.inputs, Mapping):
        return positions
    rows = enumerate(zip(positions, whole_rows(f"{supplied.end}_mask", supplied.mask), strict=True))
    return np.array([[remaining_position(name, int(each), there, row) for each in at] for row, (at, there) in rows])


def _within(
    name: str,
    positions: Int[np.ndarray, "rows swaps"],
    count: int,
    there: Bool[np.ndarray, "rows time"] | None,
) -> Int[np.ndarray, "rows swaps"]:
    """Return positions counted from 0. Negative ones count from the last that is not masked.

    Raises:
        InvalidArgument: A row has no such position, or it is masked.
    """
    there = np.ones((len(positions), count), dtype=bool) if there is None else there
    ends = count - there[:, ::-1].argmax(axis=1)
    found = np.where(positions < 0, positions + ends[:, None], positions)
    inside = (found >= 0) & (found < ends[:, None])
    inside &= np.take_along_axis(there, found.clip(0, count - 1), axis=1)
    if not inside.all():
        row = int((~inside).any(axis=1).argmax())
        wrong = positions[row][~inside[row]][0]
        raise InvalidArgument(
            f"row {row}: there is no state at {name} {wrong}; the row has {int(there[row].sum())} of {count}"
        )
    return found


def _label_positions(site: Site, supplied: SuppliedInputs, tensors: Tensors) -> Int[np.ndarray, "rows labels"] | None:
    """Return the positions of the labels in the output, by default those of the tokens that are masked.

    Raises:
        InvalidArgument: They are missing, or there is no output at them.
    """
    network, given = _tensor_site(site).network, supplied.label_positions
    if not network.has_label_positions:
        if given is not None:
            what = "its decoder writes the labels in turn" if network.decodes else "it has one output for each row"
            raise InvalidArgument(f"label_positions do not apply to {network.name}: {what}")
        return None
    rows = len(next(iter(tensors.values())))
    if given is None:
        masked = _masked_tokens(network, tensors)
        if masked is None:
            raise InvalidArgument(
                f"{network.name} has an output at every position: give label_positions, where the labels stand in it"
            )
        return masked
    at, mask = positions_of("label", given, rows), tensors.get(MASK)
    with torch.no_grad():
        count = network({name: each[:1] for name, each in tensors.items()}).shape[1]
    there = None if mask is None or mask.shape[1] != count else mask.cpu().numpy() != 0
    return _within(
        "label_positions", at if there is None else _remaining("label_positions", at, supplied), count, there
    )


def _masked_tokens(network: Any, tensors: Tensors) -> Int[np.ndarray, "rows labels"] | None:
    """Return the positions of the mask token in each row, or `None` if rows have none or differ in their number."""
    mask_id = getattr(network.tokenizer, "mask_token_id", None)
    if mask_id is None or IDS not in tensors:
        return None
    found = (tensors[IDS] == mask_id).cpu().numpy()
    counts = set(found.sum(axis=1).tolist())
    return found.nonzero()[1].reshape(len(found), -1) if len(counts) == 1 and counts != {0} else None
