"""Counterfactual datasets: the expected output of each target after each swap.

tasks, table, arrays, generations --RowSource--> rows of a split and a direction --> search, scores, controls, estimates
"""

import hashlib
import warnings
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import replace
from operator import index
from typing import Any, SupportsIndex

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from torch import Tensor

from causalign.counterfactuals.direction import Direction
from causalign.counterfactuals.from_arrays import ArrayRows
from causalign.counterfactuals.from_generations import GenerationRows, Pairing
from causalign.counterfactuals.from_table import Position, Table, TableColumns, readers_of
from causalign.counterfactuals.from_task import TaskRows, variables_of
from causalign.counterfactuals.generations import Generation
from causalign.counterfactuals.holdout import Holdout
from causalign.counterfactuals.inputs import PerSite, Rows
from causalign.counterfactuals.row_source import SHUFFLED_COMPLEMENT, RowRequest, RowSource
from causalign.counterfactuals.rows import CounterfactualRows
from causalign.counterfactuals.splits import SHARES, Split, split_of_kept
from causalign.counterfactuals.table_file import read_tables
from causalign.counterfactuals.user_arrays import UserArrays
from causalign.counterfactuals.variables import Variables
from causalign.errors import DataWarning, InvalidArgument
from causalign.notebook import summary_html
from causalign.run_context import RunContext
from causalign.sites.readable import Readable
from causalign.storage import DEFAULT_BUDGET, Store
from causalign.tasks.variable import FULL, Variable


class Counterfactuals:
    """A counterfactual dataset: train, validation and test rows for every direction between some sites.

    A row has a source input, a target input, the position of the swap in each, and the output that is expected of the
    target after the swap. Create a dataset with `from_task`, `from_table`, `from_arrays` or `from_generations`. Rows
    and activations are computed when they are first needed, and are kept for later use.

    Attributes:
        sites: The sites. A direction is a pair of their indices.
        variables: The variables that are swapped: one, or several of which each row swaps its own.
    """

    def __init__(self, source: RowSource, variables: Variables, memory: float = DEFAULT_BUDGET) -> None:
        if not isinstance(memory, int | float) or not memory >= 0:
            raise InvalidArgument(f"memory must be a number of GiB, at least 0; found {memory!r}")
        self._source, self.variables = source, variables
        self.store = Store(memory)
        self._rows: dict[tuple[RowRequest, Direction], CounterfactualRows] = {}
        self._fingerprints: tuple[str, ...] | None = None

    @classmethod
    def from_task(
        cls,
        sites: Sequence[Readable] | Readable,
        *,
        variable: str | Variable | Sequence[str | Variable] = FULL,
        variables: Sequence[str | Variable] | None = None,
        n_train: int = 10_000,
        n_validation: int = 1_000,
        n_test: int = 1_000,
        holdout_values: Sequence[int] | Mapping[str, Sequence[int]] | None = None,
        seed: int = 0,
        memory: float = DEFAULT_BUDGET,
    ) -> "Counterfactuals":
        """Draw a dataset from the tasks of the sites.

        Args:
            sites: The sites, or a single site. Recordings are allowed.
            variable: The variable that is swapped: `"full"`, a variable of the task such as `"count"`, or a range of
                its values, `"count[1..10]"`. A sequence names one variable for each site.
            variables: In place of `variable`, several variables at once, the same for every site. Each row swaps one of
                them, and each has an equal number of rows.
            n_train: Number of training rows of each direction.
            n_validation: Number of validation rows of each direction. They choose the best step.
            n_test: Number of test rows of each direction. They are scored.
            holdout_values: Values of the variable that no training, validation or test row has, in source or target,
                such as `[4, 9]`; of one of several that are swapped together, `{"count": [4, 9]}`. As many rows as for
                the test have a source with one of them, and are scored by themselves: `found.holdout`.
            seed: The seed of all random draws.
            memory: The memory budget of the tables, in GiB. Tables that exceed it are kept in temporary files.

        Raises:
            InvalidArgument: A site has no task, the variables do not fit the tasks or each other, a number is out of
                range, or a value that is held out never occurs or leaves no other.
        """
        checked = as_sites(sites)
        named = _task_variables(checked, variable, variables)
        sizes = {"train": n_train, "validation": n_validation, "test": n_test}
        for split, size in sizes.items():
            if not isinstance(size, int) or size < len(named):
                rows = "" if len(named) == 1 else f", the number of variables, {', '.join(named.names)}"
                raise InvalidArgument(f"n_{split} must be a whole number, at least {len(named)}{rows}; found {size!r}")
        require_seed(seed)
        holdout = Holdout.checked(holdout_values, named, checked)
        return cls(TaskRows(checked, named, tuple(sizes.items()), seed, holdout), named, memory)

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
        label_positions: Any = None,
        holdout_values: Sequence[Hashable] | None = None,
        split: Split = SHARES,
        variable: str = FULL,
        variables: Sequence[str] | None = None,
        loss: str = "scored",
        seed: int = 0,
        memory: float = DEFAULT_BUDGET,
    ) -> "Counterfactuals":
        """Create a dataset from arrays of token ids whose rows are aligned.

        The same rows serve every direction: in the direction (s, t), site s reads the source inputs and site t the
        target inputs. After the swap the target reads the rest of its input, and its output is compared to the label.

        Args:
            sites: The sites, or a single site.
            source_inputs: The ids of the source inputs, `[rows, time]`, or lists that differ in length; or, for modules
                that take tensors, an array `[rows, ...]` or a mapping of several by name. Use `PerSite([...])` for
                inputs that differ between sites.
            target_inputs: The ids of the target inputs, in the same form.
            labels: The output that is expected after the target input, for each row: an id of a token or of a class;
                a list of ids, where -100 marks an id that is not scored; a set of ids, any of which is correct; or the
                numbers of a regression.
            source_positions: The position of the source's state: one number for all rows, or one for each row; -1 is
                the last token. Several positions are swapped together: `[rows, swaps]`, or a tuple or a range for all
                rows, such as `(1, 4)`. They share one subspace, or have one each (`subspace_per_position` of `align`).
            target_positions: The position of the swap in the target input, in the same form, and as many.

        Other Arguments:
            source_mask: `[rows, time]`, nonzero where there is a token, such as a tokenizer's `attention_mask`. Padding
                may be on either side.
            target_mask: The same for the target inputs.
            continuations: The ids that the target reads where its label is -100 before a scored id, for each row.
            values: The value of the variable in the source input, for each row. Rows with the same value form a class.
                The search starts from the mean states of the classes, and counterfactual latents are states of the same
                class. By default, rows with the same label form a class.
            no_swap_labels: The correct output after the target input with nothing swapped, for each row. It is used to
                report the accuracy of each network beside its scores.
            label_positions: The position of each label in the output, in the form of positions, where a module that
                takes tensors has an output at every position. By default that of the tokenizer's mask token.
            holdout_values: Entries of `values`. Their rows are taken out of every split and scored by themselves:
                `found.holdout`. The value is that of the source; a target may have it.
            split: The shares of train, validation and test rows, which are then drawn at random; or the split of each
                row, `"train"`, `"validation"` or `"test"`.
            variable: The name of the variable in tables and figures.
            variables: In place of `variable`, the name of the variable of each row, where rows have several. Each row
                swaps its own, its value is of its own, and its label keeps the target's values of the others.
            loss: `"scored"` minimizes the loss of the scored tokens, and `"all"` that of all tokens read after the swap
                (equation 5, as for tasks).
            seed: The seed of the random split.
            memory: The memory budget of the tables, in GiB. Tables that exceed it are kept in temporary files.

        Raises:
            InvalidArgument: Arrays differ in length, an id is not in a vocabulary, a position is not in its row, no
                token of a label is scored, the same row is in two splits, or a value that is held out never occurs or
                leaves a split without rows. The message names the row.
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
            label_positions=label_positions,
            holdout_values=holdout_values,
            variables=_row_variables(variable, variables),
        )
        rows = ArrayRows.checked(as_sites(sites), arrays, split, loss, seed)
        return cls(rows, Variables.alike(arrays.variable_names or (variable,), len(rows.sites)), memory)

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
        label_position: Position | None = None,
        holdout_values: Sequence[Hashable] | None = None,
        tokenizer: Any = None,
        split: Split | str = SHARES,
        variable: str | None = None,
        variable_column: str | None = None,
        loss: str = "scored",
        seed: int = 0,
        memory: float = DEFAULT_BUDGET,
    ) -> "Counterfactuals":
        """Create a dataset from a table with one row for each pair of a source input and a target input.

        Args:
            table: A pandas DataFrame, a Hugging Face dataset, a mapping of columns, a list of rows, or the path of a
                table (`.csv`, `.tsv`, `.json`, `.jsonl`, `.parquet`); or a mapping of three such tables,
                `{"train": ..., "validation": ..., "test": ...}`. The columns of causalab's datasets (`input` and
                `counterfactual_inputs`) are renamed: see `counterfactuals.causalab_table`.
            sites: The sites, or a single site.
            source: The column of the source inputs, as text or ids. A sequence names one column for each site.
            target: The column of the target inputs.
            label: The column of the output that is expected after the target input: text, an id, a list of ids, or a
                set of correct ids (or of texts of a single token).
            position: The position of the swap: a number (-1 is the last token), the column that holds it, or
                `TextPosition(column)`, the last token of the piece of text in that column. Several positions are a
                tuple or a range, a column of lists, or `TextPosition(column, tokens="all")`, as in `from_arrays`.

        Other Arguments:
            source_position: The position in the source input, where it differs from `position`.
            target_position: The position in the target input, where it differs from `position`.
            value: The column of the variable's value in the source input.
            no_swap_label: The column of the correct output with nothing swapped.
            label_position: The position of the label in the output, as `label_positions` of `from_arrays`.
            holdout_values: Entries of the column `value`, as in `from_arrays`.
            tokenizer: The tokenizer of text, or one for each site. By default, each network's own.
            split: The shares of train, validation and test rows, the column that names the split of each row, or the
                split of each row.
            variable: The name of the variable in tables and figures, `"full"` by default; with `variable_column`, the
                variable whose rows are taken.
            variable_column: The column that names the variable of each row. Where it names several and none is taken
                by `variable`, the dataset has several: each row swaps its own, and its label keeps the target's values
                of the others.
            loss: `"scored"` or `"all"`, as in `from_arrays`.
            seed: The seed of the random split.
            memory: The memory budget of the tables, in GiB. Tables that exceed it are kept in temporary files.

        Raises:
            InvalidArgument: A column is missing (near matches are named), text has no tokenizer or a token that the
                tokenizer does not know, or a condition of `from_arrays` fails.
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
            label_position=label_position,
            holdout_values=holdout_values,
        )
        table = read_tables(table, [position, source_position, target_position, label_position])
        columns, split_of_rows = Table.with_split(table, split)
        variables, kept = columns.variables(variable_column, variable)
        columns, split_of_rows = columns.take(kept), split_of_kept(split_of_rows, kept)
        if source_position is not None and target_position is not None and position != -1:
            raise InvalidArgument(f"position {position!r} has no end left that it is for: leave it out")
        arrays = replace(named.arrays(columns, readers_of(checked, tokenizer)), variables=variables)
        rows = ArrayRows.checked(checked, arrays, split_of_rows, loss, seed)
        if remarks := named.remarks(columns, checked):
            warnings.warn(" ".join(remarks), DataWarning, stacklevel=2)
            rows = replace(rows, remarks=(*rows.remarks, *remarks))
        return cls(rows.renumbered(kept), Variables.alike(arrays.variable_names, len(rows.sites)), memory)

    @classmethod
    def from_generations(
        cls,
        prompts: Iterable[Any],
        sites: Sequence[Readable] | Readable,
        *,
        max_new_tokens: int,
        positions: Any = -1,
        pairs: int = 1,
        stop: int | Sequence[int] | None = None,
        tokenizer: Any = None,
        split: Split = SHARES,
        variable: str = FULL,
        seed: int = 0,
        memory: float = DEFAULT_BUDGET,
    ) -> "Counterfactuals":
        """Create a dataset from what each network writes by itself after prompts.

        No causal model is needed. Each network reads each prompt up to its position and goes on greedily; its text is
        recorded once. A row is a source prompt and a target prompt with as many tokens. In the direction (s, t) the
        states of s at the last token of the source prompt are swapped into t at the last token of the target prompt
        or, stepwise, those at all tokens. Then t should write what s wrote after the source prompt. The baseline is
        how often t writes that by itself.

        Args:
            prompts: The prompts, as texts or rows of ids. All networks read the same ids.
            sites: The sites, or a single site. Their networks share a vocabulary.
            max_new_tokens: The number of tokens at which a text is cut. `notes` counts the texts that were cut.
            positions: The position of the swap: one number for all prompts, or one for each. -1 is the last token. A
                prompt is not read beyond it.
            pairs: The number of source prompts for each target prompt of the training split, where there are as many
                of its length. In the other splits every prompt is a source once and a target once.

        Other Arguments:
            stop: The ids that end a text, and are its last token. By default, the end of each network's own
                configuration, and E of its task. A prompt after which a network ends its text at once is left out, and
                `notes` counts it.
            tokenizer: The tokenizer of text, or one for each site. By default, each network's own.
            split: The shares of train, validation and test prompts, which are then drawn at random; or the split of
                each prompt. Source and target of a row are from the same split.
            variable: The name of the variable in tables and figures.
            seed: The seed of the random split and of the pairs.
            memory: The memory budget of the tables, in GiB. Tables that exceed it are kept in temporary files.

        Raises:
            InvalidArgument: The networks do not share a vocabulary, text has no tokenizer, a prompt has no token at
                its position or is too long for a network, the same prompt is in two splits, a split has no pair, a
                site is a recording, or a number is out of range.
        """
        require_seed(seed)
        how, pairing = Generation(max_new_tokens, positions, stop), Pairing(pairs, split, seed)
        rows = GenerationRows.generated(readers_of(as_sites(sites), tokenizer), prompts, how, pairing)
        return cls(rows, Variables.alike([variable], len(rows.sites)), memory)

    @property
    def generations(self) -> pd.DataFrame:
        """The recorded texts: `site, prompt, prompt_text, text, ids, ended`, with the place of each prompt.

        Raises:
            InvalidArgument: The dataset is not from generations.
        """
        if not isinstance(self._source, GenerationRows):
            raise InvalidArgument("there are no recorded texts: only from_generations records what networks write")
        return self._source.record.table(self.names, self._source.tokenizers)

    @property
    def sites(self) -> tuple[Readable, ...]:
        """The sites."""
        return self._source.sites

    @property
    def names(self) -> list[str]:
        """The names of the sites in results. A name that occurs more than once is numbered."""
        names = [site.name for site in self.sites]
        return [f"{n} #{names[: i + 1].count(n)}" if names.count(n) > 1 else n for i, n in enumerate(names)]

    @property
    def counts(self) -> dict[str, int]:
        """The number of rows of each direction, by split."""
        return self._source.counts

    @property
    def holdout(self) -> int:
        """The number of rows of each direction whose value is held out."""
        return self._source.holdout

    @property
    def swaps(self) -> int:
        """The number of positions at which states are swapped in each row (stepwise, all up to the only one are)."""
        return self._source.swaps

    def index(self, split: str) -> Int[np.ndarray, " rows"]:
        """Return the index of each row of a split in the arrays or the table, or among the rows that were drawn."""
        return self._source.index(split)

    @property
    def fingerprint(self) -> str:
        """A hash of the data in 16 hexadecimal digits, the same whatever the sites are."""
        return self._source.fingerprint

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes on data that were left out, assumed or filled in, one sentence each."""
        return self._source.notes

    def with_sites(self, sites: Sequence[Readable]) -> "Counterfactuals":
        """Return the same data for other sites, in the same store. Controls use it."""
        return self._changed(self._source.with_sites(sites))

    def with_counts(self, counts: dict[str, int]) -> "Counterfactuals":
        """Return a smaller sample of the same data, in a new store. Estimates of time and memory use it."""
        return Counterfactuals(self._source.with_counts(counts), self.variables, float("inf"))

    def with_memory(self, memory: float) -> "Counterfactuals":
        """Return the same data with another memory budget, in GiB. Rows and activations are computed anew."""
        return Counterfactuals(self._source.with_sites(self.sites), self.variables, memory)

    def shuffled(self, seed: int) -> "Counterfactuals":
        """Return a control: the same swaps, with expected outputs and latents shuffled among the rows."""
        source = self._source.shuffled(seed)
        return ShuffledCounterfactuals(self, seed) if source is None else self._changed(source)

    def _changed(self, source: RowSource) -> "Counterfactuals":
        changed = Counterfactuals(source, self.variables)
        changed.store = self.store
        return changed

    def check(self, stepwise: bool = False, seed: int = 0) -> None:
        """Check every site on inputs of this dataset, and check every task.

        Raises:
            InvalidArgument: A site or a task fails a check.
        """
        self._require_same_weights()
        self._source.check(stepwise, seed)

    def _require_same_weights(self) -> None:
        """Check that no network's weights have changed since its activations were read."""
        fingerprints = tuple(site.fingerprint for site in self.sites)
        for site, before, now in zip(self.sites, self._fingerprints or fingerprints, fingerprints, strict=True):
            if before != now:
                raise InvalidArgument(
                    f"the weights of {site.name} have changed since the dataset read it: make the site and the dataset "
                    "again"
                )
        self._fingerprints = fingerprints

    def rows(self, request: RowRequest, context: RunContext) -> dict[Direction, CounterfactualRows]:
        """Return the rows of a split for some directions. Rows that were made before are reused.

        Rows whose expected outputs are those of the complement are in the order of the others. Those without one are
        left out, and a direction without any.

        Raises:
            InvalidArgument: The expected outputs of the complement are asked for, and they are not known; or a
                direction is between two sites, where it is not defined.
        """
        if request.complement:
            self._require_complement(request.directions)
        keys = {direction: _key(request, direction) for direction in request.directions}
        missing = tuple(direction for direction, key in keys.items() if key not in self._rows)
        if missing:
            for direction, rows in self._source.rows(replace(request, directions=missing), context).items():
                self._rows[keys[direction]] = rows
        return {direction: self._rows[key] for direction, key in keys.items() if key in self._rows}

    @property
    def without_complement(self) -> str | None:
        """The reason why no expected output of a complement is known, or `None` if it is."""
        return self._source.without_complement

    def _require_complement(self, directions: Sequence[Direction]) -> None:
        """Check that there are expected outputs of the complement in these directions."""
        if self.without_complement is not None:
            raise InvalidArgument(self.without_complement)
        for source, target in directions:
            if source != target:
                raise InvalidArgument(no_complement_between(self.names[source], self.names[target]))

    def activation_bytes(self, split: str) -> int:
        """Return the size in bytes of the activations that were read for a split."""
        return self._source.nbytes(split)

    def without_classes(self, stepwise: bool) -> str | None:
        """Return the reason why there are no class means, or `None` if there are."""
        return self._source.without_classes(stepwise)

    def class_means(self, stepwise: bool, context: RunContext, variable: int = 0) -> list[Float[Tensor, "classes _"]]:
        """Return the mean training state of each class of one variable, in the same order for every site."""
        return self._source.class_means(stepwise, context, variable)

    def class_count(self) -> int | None:
        """Return the number of classes of training rows, of all variables; `None` where only their states tell."""
        return self._source.class_count()

    def paired_states(self, context: RunContext) -> list[Float[Tensor, "pairs _"]]:
        """Return the states of all sites on the same inputs, with aligned rows."""
        return self._source.paired_states(context)

    def accuracy(self, context: RunContext) -> list[float | None]:
        """Return the share of test inputs that each network completes correctly with nothing swapped.

        It is `None` where the correct output is unknown.
        """
        return [self._source.accuracy(index, context) for index in range(len(self.sites))]

    def __repr__(self) -> str:
        counts = ", ".join(f"{count:,} {split}" for split, count in self.counts.items())
        variables = ", ".join(self.variables.names)
        return f"Counterfactuals({variables} of {', '.join(self.names)}; rows per direction: {counts})"

    def _repr_html_(self) -> str:
        """The dataset in a notebook: its sites, variables and rows."""
        entries = {
            "sites": ", ".join(
                f"{name} (width {site.width})" for name, site in zip(self.names, self.sites, strict=True)
            ),
            "variables": ", ".join(self.variables.names),
            "rows of each direction": ", ".join(f"{count:,} {split}" for split, count in self.counts.items()),
            "fingerprint": self.fingerprint,
        }
        return summary_html("Counterfactuals", entries)


class ShuffledCounterfactuals(Counterfactuals):
    """A dataset whose expected outputs are shuffled among the rows of each direction."""

    def __init__(self, data: Counterfactuals, seed: int) -> None:
        super().__init__(data._source, data.variables)
        self.store, self._data, self._seed = data.store, data, seed

    @property
    def fingerprint(self) -> str:
        """A hash of the data and of the seed of the shuffle in 16 hexadecimal digits."""
        shuffled = f"{self._data.fingerprint} shuffled by {self._seed}"
        return hashlib.sha256(shuffled.encode()).hexdigest()[:16]

    def with_sites(self, sites: Sequence[Readable]) -> "ShuffledCounterfactuals":
        """Return the same data for other sites, shuffled alike."""
        return ShuffledCounterfactuals(self._data.with_sites(sites), self._seed)

    def with_counts(self, counts: dict[str, int]) -> "ShuffledCounterfactuals":
        """Return a smaller sample of the data, shuffled as well."""
        return ShuffledCounterfactuals(self._data.with_counts(counts), self._seed)

    def with_memory(self, memory: float) -> "ShuffledCounterfactuals":
        """Return the same data with another memory budget, in GiB, shuffled alike."""
        return ShuffledCounterfactuals(self._data.with_memory(memory), self._seed)

    def shuffled(self, seed: int) -> "ShuffledCounterfactuals":
        """Return the data shuffled again."""
        return ShuffledCounterfactuals(self, seed)

    @property
    def without_complement(self) -> str | None:
        """The reason why no expected output of a complement is known."""
        return SHUFFLED_COMPLEMENT

    def rows(self, request: RowRequest, context: RunContext) -> dict[Direction, CounterfactualRows]:
        """Return the rows of a split, with shuffled expected outputs."""
        if request.complement:
            self._require_complement(request.directions)
        found, of_seed = {}, replace(context, seed=self._seed)
        for direction, rows in self._data.rows(request, context).items():
            key = _key(request, direction)
            if key not in self._rows:
                rng = of_seed.numpy(request.split, "shuffled", *direction)
                self._rows[key] = rows.shuffled(rng, self.sites[direction.target], context.store)
            found[direction] = self._rows[key]
        return found


def _key(request: RowRequest, direction: Direction) -> tuple[RowRequest, Direction]:
    """Return what tells the rows of one direction from others that were requested."""
    latents = frozenset([direction]) if direction in request.latents else frozenset[Direction]()
    return replace(request, directions=(), latents=latents), direction


def no_complement_between(source: str, target: str) -> str:
    """Return the reason why a direction between two sites has no complement."""
    return (
        f"there is no complement from {source} to {target}: it is the source's own state outside the subspace, which "
        "only the same site of the same network can run on from; ask for a site with itself"
    )


def _task_variables(sites: Sequence[Readable], variable: Any, variables: Sequence[str | Variable] | None) -> Variables:
    """Return the variables of rows that are drawn from tasks, checked against the tasks."""
    if variables is None:
        return Variables((variables_of(variable, sites),))
    if variable != FULL:
        raise InvalidArgument(f"variable = {variable!r} and variables are both given: leave one out")
    if isinstance(variables, str | Variable):
        raise InvalidArgument(f"variables is a list of variables, such as ['phase', 'count']; found {variables!r}")
    named = Variables.alike(list(variables), len(sites))
    for each, *_ in named.at_sites:
        variables_of(each, sites)
    return named


def _row_variables(variable: str, variables: Any) -> list[str] | None:
    """Return the name of the variable of each row, if rows have names of their own."""
    if variables is None:
        return None
    if variable != FULL:
        raise InvalidArgument(f"variable = {variable!r} and variables are both given: leave one out")
    if isinstance(variables, str) or not isinstance(variables, Iterable):
        raise InvalidArgument(f"variables has the name of the variable of each row; found {variables!r}")
    names = list(variables)
    for row, name in enumerate(names):
        if not isinstance(name, str) or not name:
            raise InvalidArgument(f"row {row}: a variable is a name; found {name!r}")
    return [str(name) for name in names]


def as_sites(sites: Sequence[Readable] | Readable) -> tuple[Readable, ...]:
    """Return one or several sites as a tuple.

    Raises:
        InvalidArgument: An entry is not a site.
    """
    found = tuple(sites) if isinstance(sites, list | tuple) else (sites,)
    if not found:
        raise InvalidArgument("there is no site among the sites; found an empty list")
    for site in found:
        if not isinstance(site, Readable):
            hint = f"the class {site.__name__}; pass an instance" if isinstance(site, type) else type(site).__name__
            raise InvalidArgument(
                f"a site is a place such as network.site('hidden') or Site(module, 'layers.2'); found {hint}"
            )
    return found


def require_seed(seed: object) -> None:
    """Check that a seed is a whole number, at least 0.

    Raises:
        InvalidArgument: The seed is something else.
    """
    if not isinstance(seed, SupportsIndex) or isinstance(seed, bool) or index(seed) < 0:
        raise InvalidArgument(f"seed must be a whole number, at least 0; found {seed!r}")
