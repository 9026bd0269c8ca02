"""User-supplied arrays, checked for every site: inputs, labels, and the class of each row."""

from collections.abc import Hashable, Sequence, Sized
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Int

from causalign.counterfactuals.holdout import held_classes, holdout_note
from causalign.counterfactuals.inputs import Inputs, PerSite, Rows, SuppliedInputs, key_of, of_site
from causalign.counterfactuals.labels import Labels
from causalign.counterfactuals.tensor_inputs import TensorInputs
from causalign.counterfactuals.token_inputs import TokenInputs
from causalign.errors import InvalidArgument
from causalign.sites.base import Site


@dataclass(frozen=True, eq=False)
class SplitRows:
    """User-supplied rows of one split: source inputs, target inputs and labels, in the ids of each site's network."""

    sources: tuple[Inputs, ...]
    targets: tuple[Inputs, ...]
    labels: tuple[Labels, ...]
    classes: Int[np.ndarray, " rows"]
    """The class of each row: that of its value or, if there are no values, of its label."""
    index: Int[np.ndarray, " rows"]
    """The index of each row in the user-supplied arrays."""
    plain_labels: tuple[Labels, ...] | None = None
    """The correct outputs with nothing swapped, if they were supplied."""
    variable: Int[np.ndarray, " rows"] | None = None
    """The index of the variable of each row, where there are several."""

    @property
    def by_variable(self) -> list[Int[np.ndarray, " of_variable"]]:
        """The rows of each variable; all of them, where there is one."""
        if self.variable is None:
            return [np.arange(len(self))]
        return [np.flatnonzero(self.variable == each) for each in np.unique(self.variable)]

    def __len__(self) -> int:
        return len(self.classes)

    def take(self, rows: Int[np.ndarray, " chosen"]) -> "SplitRows":
        """Return some rows."""
        return SplitRows(
            tuple(each.take(rows) for each in self.sources),
            tuple(each.take(rows) for each in self.targets),
            tuple(each.take(rows) for each in self.labels),
            self.classes[rows],
            self.index[rows],
            None if self.plain_labels is None else tuple(each.take(rows) for each in self.plain_labels),
            None if self.variable is None else self.variable[rows],
        )


@dataclass(frozen=True)
class UserArrays:
    """User-supplied arrays. The fields are those of `Counterfactuals.from_arrays`."""

    source_inputs: Rows | PerSite
    target_inputs: Rows | PerSite
    labels: Rows | PerSite
    source_positions: Any = -1
    target_positions: Any = -1
    source_mask: Rows | PerSite | None = None
    target_mask: Rows | PerSite | None = None
    continuations: Rows | PerSite | None = None
    values: Sequence[Hashable] | None = None
    no_swap_labels: Rows | PerSite | None = None
    label_positions: Any = None
    holdout_values: Sequence[Hashable] | None = None
    variables: Sequence[str] | None = None
    """The name of the variable of each row, where there are several."""

    @property
    def variable_names(self) -> tuple[str, ...]:
        """The names of the variables, in the order in which they first occur; empty where rows have none."""
        return tuple(dict.fromkeys(self.variables or ()))

    def rows(self, sites: Sequence[Site]) -> tuple[SplitRows, tuple[Hashable, ...]]:
        """Check the arrays for every site, and return the rows and the names of their classes.

        Raises:
            InvalidArgument: As in `Counterfactuals.from_arrays`.
        """
        if self.values is not None and (isinstance(self.values, str) or not isinstance(self.values, Sized)):
            raise InvalidArgument(f"values has the value of the variable in each row; found {self.values!r}")
        sources = self._inputs("source", sites)
        targets = self._inputs("target", sites)
        _require_as_many_positions(sources, targets)
        expected = _labels(sites, self.labels, self.continuations)
        for inputs, labels in zip(targets, expected, strict=True):
            inputs.require_labels(labels)
        plain = None if self.no_swap_labels is None else _labels(sites, self.no_swap_labels, None)
        sizes = {
            "source_inputs": len(sources[0]),
            "target_inputs": len(targets[0]),
            "labels": len(expected[0].ids),
            "values": len(sources[0]) if self.values is None else len(self.values),
            "no_swap_labels": len(sources[0]) if plain is None else len(plain[0].ids),
            "variables": len(sources[0]) if self.variables is None else len(self.variables),
        }
        if len(set(sizes.values())) != 1:
            found = ", ".join(f"{size} {name}" for name, size in sizes.items())
            raise InvalidArgument(f"all arrays must have the same number of rows; found {found}")
        keys = [key_of(each) for each in (of_site(self.labels, 0) if self.values is None else self.values)]
        if self.variables is not None:  # a class is a value of one variable
            keys = [(variable, key) for variable, key in zip(self.variables, keys, strict=True)]
        index = {name: number for number, name in enumerate(dict.fromkeys(keys))}
        classes = np.array([index[key] for key in keys], dtype=np.int64)
        rows = SplitRows(sources, targets, expected, classes, np.arange(len(keys)), plain, self._variable_of_rows())
        return rows, tuple(index)

    def held_out(
        self, rows: SplitRows, class_names: Sequence[Hashable]
    ) -> tuple[Bool[np.ndarray, " rows"], tuple[str, ...]]:
        """Return whether the value of each row is held out, and a note on them.

        Raises:
            InvalidArgument: As in `Counterfactuals.from_arrays`.
        """
        if self.holdout_values is not None and len(self.variable_names) > 1:
            raise InvalidArgument(
                f"holdout_values are of one variable, and the rows have {', '.join(self.variable_names)}: take one"
            )
        names = class_names if self.variables is None else [each[1] for each in class_names]  # type: ignore[index]
        held = np.isin(rows.classes, held_classes(self.holdout_values, self.values is not None, names))
        return held, (holdout_note(self.holdout_values or (), int(held.sum())),) if held.any() else ()

    def _variable_of_rows(self) -> Int[np.ndarray, " rows"] | None:
        names = self.variable_names
        return np.array([names.index(each) for each in self.variables or ()]) if len(names) > 1 else None

    def _inputs(self, end: str, sites: Sequence[Site]) -> tuple[Inputs, ...]:
        names = [f"{end}_inputs", f"{end}_positions", f"{end}_mask"]
        names += ["label_positions"] if end == "target" else []
        return tuple(
            inputs_of(site, SuppliedInputs(end, *(of_site(getattr(self, name), index) for name in names)))
            for index, site in enumerate(sites)
        )


def inputs_of(site: Site, supplied: SuppliedInputs) -> Inputs:
    """Check the source or the target inputs of one site.

    Raises:
        InvalidArgument: As in `Counterfactuals.from_arrays`.
    """
    return (TensorInputs if site.takes_tensors else TokenInputs).checked(site, supplied)


def _require_as_many_positions(sources: Sequence[Inputs], targets: Sequence[Inputs]) -> None:
    """Check that as many states are swapped as are replaced, whatever the direction.

    Raises:
        InvalidArgument: The number of positions differs.
    """
    counts = [each.positions.shape[1] for each in (*sources, *targets)]
    if len(set(counts)) > 1:
        raise InvalidArgument(
            f"the source and the target must have the same number of positions in each row; found "
            f"{', '.join(map(str, counts[: len(sources)]))} in the source and "
            f"{', '.join(map(str, counts[len(sources) :]))} in the target inputs"
        )


def _labels(sites: Sequence[Site], labels: Any, continuations: Any) -> tuple[Labels, ...]:
    return tuple(
        Labels.checked(site, of_site(labels, index), of_site(continuations, index)) for index, site in enumerate(sites)
    )


def row_keys(rows: SplitRows) -> list[Hashable]:
    """Return a key for each row: its inputs, positions, label and variable, in the ids of the first site's network."""
    sources, targets, labels = rows.sources[0], rows.targets[0], rows.labels[0]
    variable = np.zeros(len(rows), dtype=np.int64) if rows.variable is None else rows.variable
    return [
        (sources.key(row), targets.key(row), labels.ids[row].tobytes(), int(variable[row])) for row in range(len(rows))
    ]
