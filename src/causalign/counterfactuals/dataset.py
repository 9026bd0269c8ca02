"""Counterfactual datasets: what each target should do after each swap.

tasks, a table, or arrays --RowSource--> rows of a split and a direction --> search, scores, controls, estimates
"""

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from torch import Tensor

from causalign.counterfactuals.direction import Direction
from causalign.counterfactuals.from_arrays import ArrayRows
from causalign.counterfactuals.from_table import Position, Table, TableColumns, readers_of
from causalign.counterfactuals.from_task import TaskRows, variables_of
from causalign.counterfactuals.inputs import PerSite, Rows
from causalign.counterfactuals.row_source import RowRequest, RowSource
from causalign.counterfactuals.rows import CounterfactualRows
from causalign.counterfactuals.splits import SHARES, Split
from causalign.counterfactuals.user_arrays import UserArrays
from causalign.errors import InvalidArgument
from causalign.run_context import RunContext
from causalign.sites.readable import Readable
from causalign.storage import DEFAULT_BUDGET, Store
from causalign.tasks.variable import FULL, Variable


class Counterfactuals:
    """A counterfactual dataset: train, validation and test rows for every direction between some sites.

    A row says what a target should do after a swap: a source input and a target input, the position of the swap in
    each, and the expected output. Make one by `from_task`, `from_table` or `from_arrays`. Rows are made, and
    activations read, when they are first needed, and are kept for every later use.

    Attributes:
        sites: The sites; a direction is a pair of their indices.
        variables: The variable that is swapped, for each site.
    """

    def __init__(self, source: RowSource, variables: Sequence[Variable], memory: float = DEFAULT_BUDGET) -> None:
        if not isinstance(memory, int | float) or not memory >= 0:
            raise InvalidArgument(f"memory is a number of GiB, at least 0; found {memory!r}")
        self._source, self.variables = source, tuple(variables)
        self.store = Store(memory)
        self._rows: dict[tuple[str, Direction, bool, bool], CounterfactualRows] = {}

    @classmethod
    def from_task(
        cls,
        sites: Sequence[Readable] | Readable,
        *,
        variable: str | Variable | Sequence[str | Variable] = FULL,
        n_train: int = 10_000,
        n_validation: int = 1_000,
        n_test: int = 1_000,
        seed: int = 0,
        memory: float = DEFAULT_BUDGET,
    ) -> "Counterfactuals":
        """Draw a dataset from the tasks of the sites.

        Args:
            sites: The sites, or one. Recordings may be among them.
            variable: The variable that is swapped: `"full"`, a variable of the task such as `"count"`, or some of its
                values, `"count[1..10]"`. A sequence names one for each site.
            n_train: Rows of each direction that are trained on.
            n_validation: Rows of each direction by which the best step is chosen.
            n_test: Rows of each direction that are scored.
            seed: The seed of all draws.
            memory: GiB that the tables may take; what exceeds it lies in temporary files.

        Raises:
            InvalidArgument: A site has no task, or the variables do not fit the tasks or each other.
        """
        checked = as_sites(sites)
        variables = variables_of(variable, checked)
        sizes = {"train": n_train, "validation": n_validation, "test": n_test}
        for split, size in sizes.items():
            if not isinstance(size, int) or size < 1:
                raise InvalidArgument(f"n_{split} must be a whole number, at least 1; found {size!r}")
        require_seed(seed)
        return cls(TaskRows(checked, tuple(variables), tuple(sizes.items()), seed), variables, memory)

    @classmethod
    def from_arrays(
        cls,
        sites: Sequence[Readable] | Readable,
        *,
        source_inputs: Rows | PerSite,
        target_inputs: Rows | PerSite,
        labels: Rows | PerSite,
        source_positions: Any = -1,
        target_positions: Any = -1,
        source_mask: Rows | PerSite | None = None,
        target_mask: Rows | PerSite | None = None,
        continuations: Rows | PerSite | None = None,
        values: Sequence[Hashable] | None = None,
        no_swap_labels: Rows | PerSite | None = None,
        split: Split = SHARES,
        variable: str = FULL,
        loss: str = "scored",
        seed: int = 0,
        memory: float = DEFAULT_BUDGET,
    ) -> "Counterfactuals":
        """Make a dataset from arrays of token ids; row i of every array belongs together.

        One set of rows serves every direction: in the direction (s, t), site s reads the source inputs and site t the
        target inputs. After the swap the rest of the target input is read, and then the label is expected.

        Args:
            sites: The sites, or one.
            source_inputs: `[rows, time]` ids, or lists that differ in length. `PerSite([...])` gives each site its own.
            target_inputs: The same for the inputs that are swapped into.
            labels: For each row what should follow the target input after the swap: an id; a list of ids, of which -100
                is not scored; or a set of ids, any of which is right.
            source_positions: Where the source's state is read: a number for all rows, or one a row; -1 is the last.
            target_positions: Where the target's state is swapped.

        Other Arguments:
            source_mask: `[rows, time]`, which tokens are there: a tokenizer's `attention_mask`. Pads may be on either
                side.
            target_mask: The same for the target inputs.
            continuations: For each row the ids that are read where its label is -100 before a scored id.
            values: For each row the value of the variable in the source input. Rows of one value are a class: their
                means start the search, and supply counterfactual latents. By default rows of one label are a class.
            no_swap_labels: For each row what is right after the target input with nothing swapped; with them, the
                accuracy of each network stands beside its scores.
            split: Three shares, by which rows are split at random, or for each row `"train"`, `"validation"`, `"test"`.
            variable: The name of the variable, for tables and figures.
            loss: `"scored"`: the search minimises the loss of the scored tokens; `"all"`: of all tokens that are read
                after the swap, as equation 5 has it for tasks.
            seed: The seed of the split.
            memory: GiB that the tables may take; what exceeds it lies in temporary files.

        Raises:
            InvalidArgument: Arrays are not of one length, an id is not in a vocabulary, a position is not in its row, a
                label scores nothing, or the same row is in two splits; the row is named.
        """
        require_seed(seed)
        arrays = UserArrays(
            source_inputs=source_inputs,
            target_inputs=target_inputs,
            labels=labels,
            source_positions=source_positions,
            target_positions=target_positions,
            source_mask=source_mask,
            target_mask=target_mask,
            continuations=continuations,
            values=values,
            no_swap_labels=no_swap_labels,
        )
        rows = ArrayRows.checked(as_sites(sites), arrays, split, loss, seed)
        return cls(rows, [Variable.of(variable)] * len(rows.sites), memory)

    @classmethod
    def from_table(
        cls,
        table: Any,
        sites: Sequence[Readable] | Readable,
        *,
        source: str | Sequence[str] = "source",
        target: str | Sequence[str] = "target",
        label: str | Sequence[str] = "label",
        position: Position = -1,
        source_position: Position | None = None,
        target_position: Position | None = None,
        value: str | None = None,
        no_swap_label: str | None = None,
        tokenizer: Any = None,
        split: Split | str = SHARES,
        variable: str = FULL,
        loss: str = "scored",
        seed: int = 0,
        memory: float = DEFAULT_BUDGET,
    ) -> "Counterfactuals":
        """Make a dataset from a table with a row for each pair of a source and a target input.

        Args:
            table: A pandas DataFrame, a dataset of Hugging Face's datasets, or a mapping of columns; or a mapping of
                three such, `{"train": ..., "validation": ..., "test": ...}`.
            sites: The sites, or one.
            source: The column of source inputs, text or ids; a sequence names one for each site.
            target: The column of target inputs.
            label: The column of what should follow the target input after the swap: text, an id, a list of ids, or a
                set of allowed ids (or single tokens of text).
            position: Where states are swapped: a number (-1 is the last token), the column that holds it, or
                `TextPosition(column)`, the last token of the piece of text in that column.

        Other Arguments:
            source_position: The position in the source input, where it differs.
            target_position: The position in the target input, where it differs.
            value: The column with the value of the variable in the source input.
            no_swap_label: The column of what is right with nothing swapped.
            tokenizer: The tokenizer of text, or one for each site; by default that of each network.
            split: Three shares, a column that names the split of each row, or a name for each row.
            variable: The name of the variable, for tables and figures.
            loss: `"scored"`, or `"all"`, as in `from_arrays`.
            seed: The seed of the split.
            memory: GiB that the tables may take; what exceeds it lies in temporary files.

        Raises:
            InvalidArgument: A column is missing (near matches are named), text has no tokenizer or a token that it does
                not know, or as in `from_arrays`.
        """
        require_seed(seed)
        checked = as_sites(sites)
        named = TableColumns(
            source=source,
            target=target,
            label=label,
            source_position=position if source_position is None else source_position,
            target_position=position if target_position is None else target_position,
            value=value,
            no_swap_label=no_swap_label,
        )
        columns, split_of_rows = Table.with_split(table, split)
        arrays = named.arrays(columns, readers_of(checked, tokenizer))
        rows = ArrayRows.checked(checked, arrays, split_of_rows, loss, seed)
        return cls(rows, [Variable.of(variable)] * len(rows.sites), memory)

    @property
    def sites(self) -> tuple[Readable, ...]:
        """The sites."""
        return self._source.sites

    @property
    def names(self) -> list[str]:
        """The names of the sites in results, numbered where one occurs more than once."""
        names = [site.name for site in self.sites]
        return [f"{n} #{names[: i + 1].count(n)}" if names.count(n) > 1 else n for i, n in enumerate(names)]

    @property
    def counts(self) -> dict[str, int]:
        """The number of rows of each direction, by split."""
        return self._source.counts

    def index(self, split: str) -> Int[np.ndarray, " rows"]:
        """The place of each row of a split in the arrays or the table, or among the rows that were drawn."""
        return self._source.index(split)

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that tell these data from others, whatever the sites are."""
        return self._source.fingerprint

    @property
    def notes(self) -> tuple[str, ...]:
        """What was left out, assumed or filled in, a sentence each."""
        return self._source.notes

    def with_sites(self, sites: Sequence[Readable]) -> "Counterfactuals":
        """Return the same data for other sites, in the same store: for controls."""
        return self._changed(self._source.with_sites(sites))

    def with_counts(self, counts: dict[str, int]) -> "Counterfactuals":
        """Return a smaller sample of the same data, in a store of its own: for estimates."""
        return Counterfactuals(self._source.with_counts(counts), self.variables, float("inf"))

    def with_memory(self, memory: float) -> "Counterfactuals":
        """Return the same data, to be read anew within another memory budget, in GiB."""
        return Counterfactuals(self._source.with_sites(self.sites), self.variables, memory)

    def shuffled(self, seed: int) -> "ShuffledCounterfactuals":
        """Return the same swaps, the expected outputs (and latents) of each direction dealt out anew: a control."""
        return ShuffledCounterfactuals(self, seed)

    def _changed(self, source: RowSource) -> "Counterfactuals":
        changed = Counterfactuals(source, self.variables)
        changed.store = self.store
        return changed

    def check(self, stepwise: bool = False, seed: int = 0) -> None:
        """Check every site on inputs of this dataset, and every task.

        Raises:
            InvalidArgument: A site or a task fails a check.
        """
        self._source.check(stepwise, seed)

    def rows(self, request: RowRequest, context: RunContext) -> dict[Direction, CounterfactualRows]:
        """Return the rows of a split for some directions; what was made before is not made again."""
        keys = {d: (request.split, d, request.stepwise, d in request.latents) for d in request.directions}
        missing = tuple(direction for direction, key in keys.items() if key not in self._rows)
        if missing:
            wanted = RowRequest(request.split, missing, request.stepwise, request.latents)
            for direction, rows in self._source.rows(wanted, context).items():
                self._rows[keys[direction]] = rows
        return {direction: self._rows[key] for direction, key in keys.items()}

    def activation_bytes(self, split: str) -> int:
        """Bytes of the activations that were read for a split."""
        return self._source.nbytes(split)

    def without_classes(self, stepwise: bool) -> str | None:
        """Say why there are no class means, if there are none."""
        return self._source.without_classes(stepwise)

    def class_means(self, stepwise: bool, context: RunContext) -> list[Float[Tensor, "classes _"]]:
        """The mean training state of each class, for every site in one order."""
        return self._source.class_means(stepwise, context)

    def paired_states(self, context: RunContext) -> list[Float[Tensor, "pairs _"]]:
        """States of all sites on the same inputs, row by row."""
        return self._source.paired_states(context)

    def accuracy(self, context: RunContext) -> list[float | None]:
        """The share of test inputs that each network completes correctly with nothing swapped, where that is known."""
        return [self._source.accuracy(index, context) for index in range(len(self.sites))]

    def __repr__(self) -> str:
        counts = ", ".join(f"{count:,} {split}" for split, count in self.counts.items())
        variable = " -> ".join(dict.fromkeys(map(str, self.variables)))
        return f"Counterfactuals({variable} of {', '.join(self.names)}; rows a direction: {counts})"


class ShuffledCounterfactuals(Counterfactuals):
    """A dataset whose expected outputs are dealt out at random among the rows of each direction."""

    def __init__(self, data: Counterfactuals, seed: int) -> None:
        super().__init__(data._source, data.variables)
        self.store, self._data, self._seed = data.store, data, seed

    def rows(self, request: RowRequest, context: RunContext) -> dict[Direction, CounterfactualRows]:
        """Return the rows of a split, their expected outputs shuffled."""
        found = {}
        for direction, rows in self._data.rows(request, context).items():
            key = (request.split, direction, request.stepwise, direction in request.latents)
            if key not in self._rows:
                rng = context.numpy(request.split, "shuffled", *direction)
                self._rows[key] = rows.shuffled(rng, self.sites[direction.target], context.store)
            found[direction] = self._rows[key]
        return found


def as_sites(sites: Sequence[Readable] | Readable) -> tuple[Readable, ...]:
    """Check that these are sites.

    Raises:
        InvalidArgument: One is something else.
    """
    found = tuple(sites) if isinstance(sites, list | tuple) else (sites,)
    for site in found:
        if not isinstance(site, Readable):
            hint = f"the class {site.__name__}: give an instance" if isinstance(site, type) else type(site).__name__
            raise InvalidArgument(
                f"sites are places such as network.site('hidden') or Site(module, 'layers.2'); found {hint}"
            )
    return found


def require_seed(seed: object) -> None:
    """Check a seed.

    Raises:
        InvalidArgument: It is not a whole number, or negative.
    """
    if not isinstance(seed, int) or isinstance(seed, bool) or seed < 0:
        raise InvalidArgument(f"seed must be a whole number, at least 0; found {seed!r}")
