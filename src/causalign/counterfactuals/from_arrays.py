"""Counterfactual rows from user-supplied inputs: checked, read once for each site, and paired row by row.

    rows of (source input, target input, positions, label) --read--> activations --> rows of every direction

The same rows serve every direction: row i of the direction (s, t) swaps the state of site s on source input i into
site t on target input i. After the swap the target reads the rest of its input, and its output is compared to the
label.
"""

import hashlib
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int, Num
from torch import Tensor
from typing_extensions import override

from causalign.counterfactuals import rows as names
from causalign.counterfactuals.class_means import ClassMeans, mean_states, shared_means
from causalign.counterfactuals.columns import Columns
from causalign.counterfactuals.direction import Direction
from causalign.counterfactuals.from_task import draw_of_class
from causalign.counterfactuals.holdout import HOLDOUT
from causalign.counterfactuals.inputs import SuppliedInputs
from causalign.counterfactuals.labels import Labels
from causalign.counterfactuals.row_source import SHUFFLED_COMPLEMENT, SPLITS, RowRequest, RowSource
from causalign.counterfactuals.rows import CounterfactualRows, shuffle_within
from causalign.counterfactuals.splits import Split, split_rows
from causalign.counterfactuals.user_arrays import SplitRows, UserArrays, inputs_of, row_keys
from causalign.engine.activation_cache import Activations
from causalign.errors import InvalidArgument, unknown
from causalign.networks.tensor_module import TensorModule
from causalign.random_streams import numpy_stream
from causalign.run_context import RunContext
from causalign.sites.base import Site, require_site
from causalign.sites.readable import Readable

_LOSSES = ("scored", "all")


@dataclass(frozen=True, eq=False)
class ArrayRows(RowSource):
    """Rows from user-supplied inputs."""

    sites: tuple[Readable, ...]
    splits: Mapping[str, SplitRows]
    class_names: tuple[Hashable, ...]
    """The value, or label, of each class."""
    loss_on_scored: bool
    """Whether the loss is over the scored tokens only, or over all expected tokens (equation 5)."""
    seed: int = 0
    """The seed of the draws of counterfactual latents."""
    remarks: tuple[str, ...] = ()
    label_seed: int | None = None
    """The seed by which labels are shuffled among the rows, for a control."""
    variable_names: tuple[str, ...] = ()
    """The names of the variables, where the rows have several."""
    _read: dict[tuple[str, int, str, bool], Activations] = field(default_factory=dict)

    @classmethod
    def checked(cls, sites: Sequence[Readable], arrays: UserArrays, split: Split, loss: str, seed: int) -> "ArrayRows":
        """Check user-supplied arrays for every site, and split their rows.

        Raises:
            InvalidArgument: As in `Counterfactuals.from_arrays`.
        """
        if loss not in _LOSSES:
            raise unknown("loss", str(loss), _LOSSES)
        run = tuple(require_site(site, "counterfactuals from arrays run every site") for site in sites)
        whole, names_of_classes = arrays.rows(run)
        chosen, remarks = split_rows(row_keys(whole), split, seed)
        held, notes = arrays.held_out(whole, names_of_classes)
        splits = {name: whole.take(chosen[name][~held[chosen[name]]]) for name in SPLITS}
        if held.any():
            splits[HOLDOUT] = whole.take(np.flatnonzero(held))
        for name, rows in splits.items():
            if not len(rows):
                raise InvalidArgument(f"holdout_values leave no rows in the split {name}")
            _require_each_variable(rows, arrays.variable_names, name)
        return cls(
            run,
            splits,
            names_of_classes,
            loss == "scored",
            int(seed),
            (*remarks, *notes),
            variable_names=arrays.variable_names,
        )

    def renumbered(self, places: Int[np.ndarray, " rows"]) -> "ArrayRows":
        """Return the same rows, each with another place in the user's data: that of its own place in `places`."""
        splits = {name: replace(rows, index=places[rows.index]) for name, rows in self.splits.items()}
        return replace(self, splits=splits)

    @property
    def _run(self) -> list[Site]:
        return [site for site in self.sites if isinstance(site, Site)]

    @property
    @override
    def counts(self) -> dict[str, int]:
        return {split: len(self.splits[split]) for split in SPLITS}

    @property
    @override
    def holdout(self) -> int:
        return len(self.splits[HOLDOUT]) if HOLDOUT in self.splits else 0

    @property
    @override
    def swaps(self) -> int:
        return int(self.splits["train"].targets[0].positions.shape[1])

    @override
    def index(self, split: str) -> Int[np.ndarray, " rows"]:
        return self.splits[split].index

    @cached_property
    def _digest(self) -> str:
        digest = hashlib.sha256()
        for rows in self.splits.values():
            for inputs in (*rows.sources, *rows.targets):
                inputs.update(digest)
            for labels in rows.labels:
                labels.update(digest)
            for labels in rows.plain_labels or ():
                labels.update(digest)
            digest.update(rows.classes.tobytes())
            if rows.variable is not None:
                digest.update(f"{self.variable_names}".encode() + rows.variable.tobytes())
        digest.update(b"" if self.loss_on_scored else b"the loss of all tokens")
        digest.update(b"" if self.label_seed is None else f"labels shuffled by {self.label_seed}".encode())
        return digest.hexdigest()[:16]

    @property
    @override
    def fingerprint(self) -> str:
        return self._digest

    @override
    def with_sites(self, sites: Sequence[Readable]) -> "ArrayRows":
        return replace(self, sites=tuple(sites), _read={})

    @override
    def with_counts(self, counts: dict[str, int]) -> "ArrayRows":
        """Return evenly spaced rows of each split and variable, from shortest to longest, repeated if too few."""
        smaller = {}
        for split in SPLITS:
            rows = self.splits[split]
            groups, chosen = rows.by_variable, []
            for group, share in zip(groups, np.array_split(np.arange(counts[split]), len(groups)), strict=True):
                by_length = group[np.argsort(rows.targets[0].lengths[group], kind="stable")]
                chosen.append(by_length[np.linspace(0, len(group) - 1, len(share)).astype(np.int64)])
            smaller[split] = rows.take(np.concatenate(chosen))
        return replace(self, splits=smaller, _read={})

    @property
    @override
    def notes(self) -> tuple[str, ...]:
        return self.remarks

    @override
    def check(self, stepwise: bool, seed: int) -> None:
        """Check every site on the shortest and the longest rows, each followed by its label."""
        for split in SPLITS:
            rows = self.splits[split]
            for index, site in enumerate(self._run):
                for inputs in (rows.sources[index], rows.targets[index]):
                    inputs.check(site, rows.labels[index], seed, stepwise)
                if stepwise:
                    rows.sources[index].require_positions(rows.targets[index])

    @override
    def nbytes(self, split: str) -> int:
        return sum(each.nbytes for (of, *_), each in self._read.items() if of == split)

    def _activations(self, split: str, index: int, end: str, stepwise: bool, context: RunContext) -> Activations:
        """Return the activations of one site on the source or the target inputs, which are read once."""
        key = (split, index, end, stepwise)
        if key not in self._read:
            rows = self.splits[split]
            inputs = (rows.sources if end == "source" else rows.targets)[index]
            with context.timed("states"):
                site = self._run[index]
                self._read[key] = inputs.read(site, context, stepwise=stepwise, with_prefix=end == "target")
        return self._read[key]

    def _order(self, split: str) -> Int[np.ndarray, " rows"]:
        """Return, for each row of a split, the row whose label it has."""
        rows = self.splits[split]
        if self.label_seed is None:
            return np.arange(len(rows))
        groups = np.zeros(len(rows), dtype=np.int64) if rows.variable is None else rows.variable
        return shuffle_within(groups, numpy_stream(self.label_seed, split, "shuffled"))

    @override
    def shuffled(self, seed: int) -> "ArrayRows":
        """Return the same inputs with the labels, and the classes of latents, shuffled among the rows of a variable.

        The inputs stay whole, and are not read again.
        """
        return replace(self, label_seed=seed)

    @override
    def rows(self, request: RowRequest, context: RunContext) -> dict[Direction, CounterfactualRows]:
        return {direction: self._rows(direction, request, context) for direction in request.directions}

    def _rows(self, direction: Direction, request: RowRequest, context: RunContext) -> CounterfactualRows:
        rows, site = self.splits[request.split], self._run[direction.target]
        read = [
            self._activations(request.split, index, end, request.stepwise, context)
            for index, end in zip(direction, ("source", "target"), strict=True)
        ]
        inputs, trial = rows.targets[direction.target], np.arange(len(rows))
        labels = self._labels(direction, request)
        tokens, scored, lengths = inputs.expected(labels)
        columns = {
            names.SOURCE_ROWS: _states(read[0], rows.sources[direction.source].positions),
            names.TARGET_ROWS: _states(read[1], inputs.positions),
            names.TRIAL: trial,
            names.POSITION: inputs.first,
            names.TOKENS: tokens,
            names.LENGTHS: lengths,
        }
        if inputs.positions.shape[1] > 1:
            columns[names.LATER] = inputs.positions[:, 1:]
        if labels.allowed is not None:
            columns[names.ALLOWED] = labels.allowed
        if rows.variable is not None:
            columns[names.VARIABLE] = rows.variable
        latents = None
        if direction in request.latents:
            latents, columns[names.LATENT_ROWS] = self._latents(direction, request, context)
        tensors = {name: torch.from_numpy(_compact(column)).to(site.device) for name, column in columns.items()}
        tensors[names.SCORED] = torch.from_numpy(scored).to(site.device)
        only = CounterfactualRows(
            read[0], read[1], Columns(tensors), latents=latents, loss_on_scored=self.loss_on_scored
        )
        return CounterfactualRows.joined([only], site, context.store)

    def _labels(self, direction: Direction, request: RowRequest) -> Labels:
        """Return the expected outputs of a direction: of its complement, those of the target with nothing swapped."""
        rows = self.splits[request.split]
        if request.complement and rows.plain_labels is not None:
            return rows.plain_labels[direction.target]
        return rows.labels[direction.target].take(self._order(request.split))

    @property
    @override
    def without_complement(self) -> str | None:
        if self.label_seed is not None:
            return SHUFFLED_COMPLEMENT
        if self.splits["test"].plain_labels is None:
            return (
                "the complement of rows of your own is scored on the correct output with nothing swapped, which is not "
                "known: name it with no_swap_label (no_swap_labels of from_arrays)"
            )
        if self.variable_names and len(self.variable_names) > 1:
            return (
                "the complement of one of several variables brings the source's values of the others along, and the "
                "output that follows is known for rows drawn from tasks only: take one variable"
            )
        return None

    def _latents(
        self, direction: Direction, request: RowRequest, context: RunContext
    ) -> tuple[Activations, Int[np.ndarray, "rows ..."]]:
        """Return, for each row, a state of the target itself on a source input of the same class (equation 8)."""
        rows = self.splits[request.split]
        own = self._activations(request.split, direction.target, "source", False, context)
        rng = replace(context, seed=self.seed).numpy(request.split, "latents", *direction)
        wanted = rows.classes[self._order(request.split)]
        chosen, _ = draw_of_class(rows.classes, wanted, len(self.class_names), rng)
        return own, own.row(*_places(rows.sources[direction.target].positions, chosen))

    @override
    def class_means(self, stepwise: bool, context: RunContext, variable: int = 0) -> list[Float[Tensor, "classes _"]]:
        """Return the mean state of each site on the source inputs of each class, read at the rows' positions.

        Where a row has several positions, each class has a mean at each of them, one after another.
        """
        if reason := self.without_classes(stepwise):
            raise InvalidArgument(reason)
        return shared_means([self._means(index, context, variable) for index in range(len(self.sites))])

    @override
    def class_count(self) -> int:
        rows = self.splits["train"]
        return len(np.unique(rows.classes)) * rows.sources[0].positions.shape[1]

    @override
    def without_classes(self, stepwise: bool) -> str | None:
        if stepwise:
            return (
                "a closed-form start of stepwise swaps needs the values after every token, which only a task provides"
            )
        rows = self.splits["train"]
        for variable, of_variable in enumerate(rows.by_variable):
            if len(np.unique(rows.classes[of_variable])) < 2:
                of = f" of {self.variable_names[variable]!r}" if rows.variable is not None else ""
                return f"a closed-form start needs two values, or labels, but all training rows{of} have the same one"
        return None

    def _means(self, index: int, context: RunContext, variable: int) -> ClassMeans:
        read = self._activations("train", index, "source", False, context)
        rows = self.splits["train"]
        trial = rows.by_variable[variable]
        positions = rows.sources[index].positions
        swaps = positions.shape[1]
        of_place = (rows.classes[trial, None] * swaps + np.arange(swaps)).flatten()  # a position has its own classes
        classes, which = np.unique(of_place, return_inverse=True)
        at = torch.from_numpy(read.row(*_places(positions, trial)).flatten())
        return ClassMeans([int(each) for each in classes], mean_states(read, at, which, len(classes)))

    @override
    def paired_states(self, context: RunContext) -> list[Float[Tensor, "pairs _"]]:
        """Return the states of every site on the same source inputs: of each row, those at its positions in turn."""
        rows, found = self.splits["train"], []
        for index in range(len(self.sites)):
            read = self._activations("train", index, "source", False, context)
            found.append(read.gather(torch.from_numpy(read.row(*_places(rows.sources[index].positions)).flatten())))
        return found

    @override
    def accuracy(self, index: int, context: RunContext) -> float | None:
        rows, site = self.splits["test"], self._run[index]
        if rows.plain_labels is None:
            return None
        return float(rows.targets[index].completed(site, rows.plain_labels[index]).mean())


def single_row(sites: tuple[Site, Site], ids: tuple[Any, Any], positions: tuple[Any, Any]) -> ArrayRows:
    """Return a single row from a source to a target, for a single swap. Its expected output is a placeholder.

    Where there is an output at every position, that at the position of the swap, or of the last one, is read.

    Raises:
        InvalidArgument: An id is not in a vocabulary, or a position is not in its input.
    """
    inputs = tuple(
        inputs_of(site, SuppliedInputs(end, row, at, label_positions=_last(at) if _has_label_positions(site) else None))
        for site, end, row, at in zip(sites, ("source", "target"), ids, positions, strict=True)
    )
    label = Labels.checked(sites[1], [0], None)
    row = SplitRows(inputs, inputs, (label, label), np.zeros(1, int), np.zeros(1, int))
    return ArrayRows(sites, dict.fromkeys(SPLITS, row), (0,), loss_on_scored=True)


def _last(position: Any) -> Any:
    return position[-1] if isinstance(position, tuple) else position


def _has_label_positions(site: Site) -> bool:
    return isinstance(site.network, TensorModule) and site.network.has_label_positions


def _require_each_variable(rows: SplitRows, variables: Sequence[str], split: str) -> None:
    """Check that a split has rows of every variable, if there are several."""
    there: Sequence[int] = [] if rows.variable is None else np.unique(rows.variable).tolist()
    for index, name in enumerate(variables if rows.variable is not None else ()):
        if index not in there:
            raise InvalidArgument(f"the split {split} has no rows of the variable {name!r}: every split needs some")


def _compact(column: Num[np.ndarray, "rows ..."]) -> Num[np.ndarray, "rows ..."]:
    """Return a column in half of its bytes: indices and ids are below 2^31."""
    return column.astype(np.float32 if column.dtype.kind == "f" else np.int32)


def _places(
    positions: Int[np.ndarray, "rows swaps"], trial: Int[np.ndarray, " chosen"] | None = None
) -> tuple[Int[np.ndarray, "_ ..."], Int[np.ndarray, "_ ..."]]:
    """Return the trial and the position of each swap of some rows; one-dimensional where each row has one."""
    trial = np.arange(len(positions)) if trial is None else trial
    if positions.shape[1] == 1:
        return trial, positions[trial, 0]
    return np.broadcast_to(trial[:, None], (len(trial), positions.shape[1])), positions[trial]


def _states(read: Activations, positions: Int[np.ndarray, "rows swaps"]) -> Int[np.ndarray, "rows ..."]:
    """Return the rows of the states of each input: one, several, or stepwise all up to its position."""
    return read.rows(np.arange(len(positions)), positions[:, 0]) if read.stepwise else read.row(*_places(positions))
