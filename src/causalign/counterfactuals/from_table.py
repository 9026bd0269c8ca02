"""Counterfactual rows from a table: columns of text, ids or arrays, converted to ids for every site's network."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from jaxtyping import Int

from causalign.counterfactuals.causalab_table import is_causalab, readable_columns
from causalign.counterfactuals.inputs import PerSite, key_of, of_site
from causalign.counterfactuals.row_source import SPLITS
from causalign.counterfactuals.splits import SHARES, Split
from causalign.counterfactuals.user_arrays import UserArrays
from causalign.errors import InvalidArgument, lookup, unknown
from causalign.networks.tensor_module import TensorModule
from causalign.sites.base import Site, require_site
from causalign.sites.readable import Readable
from causalign.tasks.variable import FULL


@dataclass(frozen=True)
class TextPosition:
    """The position of a piece of text: its last token, or all. The piece must occur exactly once in the row's input.

    Attributes:
        column: The column with the piece of text of each row.
        tokens: `"last"`, or `"all"`: several positions, as many in every row, such as the two tokens of a name.

    Raises:
        InvalidArgument: `tokens` is something else.
    """

    column: str
    tokens: str = "last"

    def __post_init__(self) -> None:
        if self.tokens not in _TOKENS:
            raise unknown("tokens of a TextPosition", str(self.tokens), _TOKENS)


_TOKENS = ("last", "all")
Position = int | str | tuple[int, ...] | range | TextPosition
"""A position for all rows (-1 is the last token), several for all rows, the column of the positions, or a
`TextPosition`."""


@dataclass(frozen=True, eq=False)
class Table:
    """The columns of a table: a pandas DataFrame, a Hugging Face dataset, a mapping of columns, or a list of rows."""

    columns: Mapping[str, list[Any]]
    remarks: tuple[str, ...] = ()
    """What was left out or assumed, one sentence each."""

    @classmethod
    def of(cls, table: Any) -> "Table":
        """Return the columns of a table. Those of causalab are renamed, as `readable_columns` has it.

        Raises:
            InvalidArgument: The argument is not a table, it has no rows, or its columns differ in length.
        """
        if isinstance(table, Sequence) and not isinstance(table, str) and all(isinstance(r, Mapping) for r in table):
            table = _columns_of_rows(table)
        names = getattr(table, "column_names", None) or getattr(table, "columns", None)
        if names is None and isinstance(table, Mapping):
            names = table.keys()
        if names is None:
            raise InvalidArgument(
                "a table is a DataFrame, a Hugging Face dataset, a mapping of columns or a list of rows; "
                f"found {type(table).__name__}"
            )
        columns = {str(name): list(table[name]) for name in names}
        lengths = {name: len(column) for name, column in columns.items()}
        if len(set(lengths.values())) != 1 or not next(iter(lengths.values())):
            raise InvalidArgument(
                f"the columns of a table must have the same number of rows, at least one; found {lengths}"
            )
        return cls(readable_columns(columns) if is_causalab(columns) else columns)

    @classmethod
    def with_split(cls, table: Any, split: Split | str) -> tuple["Table", Split]:
        """Return the columns of one table, or of a table for each split, and the split of the rows.

        Raises:
            InvalidArgument: The argument is not a table, or the table lacks the column of the split.
        """
        if isinstance(table, Mapping) and set(table) == set(SPLITS) and not _is_column(table["train"]):
            if split is not SHARES:
                raise InvalidArgument("split is given, and the table is three, one for each split: leave split out")
            parts = {name: cls.of(table[name]) for name in SPLITS}
            split = [name for name, part in parts.items() for _ in range(len(part))]
            table = {
                column: [row for part in parts.values() for row in part.column(column, "of every split")]
                for column in parts["train"].columns
            }
        found = cls.of(table)
        if split is SHARES and "split" in found.columns and len(names := set(map(str, found.columns["split"]))) > 1:
            shown = ", ".join(sorted(names)[:5])
            remark = f"The table's column 'split' ({shown}) is not used: rows are split at random; pass split='split'."
            return replace(found, remarks=(remark,)), split
        return found, [str(name) for name in found.column(split, "split")] if isinstance(split, str) else split

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def take(self, rows: Int[np.ndarray, " chosen"]) -> "Table":
        """Return some rows."""
        return Table({name: [column[row] for row in rows] for name, column in self.columns.items()}, self.remarks)

    def variables(self, column: str | None, variable: str | None) -> tuple[list[str], Int[np.ndarray, " rows"]]:
        """Return the variable of each row, and the rows that are kept: all, or those of the chosen variable.

        Raises:
            InvalidArgument: There is no such column, a row names no variable, or no row names the chosen one.
        """
        if column is None:
            return [FULL if variable is None else variable] * len(self), np.arange(len(self))
        entries = self.column(column, "variable_column")
        for row, entry in enumerate(entries):
            if entry is None or entry != entry or not str(entry).strip():  # not a number is not itself
                raise InvalidArgument(f"row {row}: the column {column!r} names no variable; found {entry!r}")
        names = [str(entry) for entry in entries]
        if variable is not None and variable not in names:
            raise unknown(f"variable of the column {column!r}", variable, dict.fromkeys(names))
        kept = np.flatnonzero([variable in (None, name) for name in names])
        return [names[int(row)] for row in kept], kept

    def column(self, name: str, what: str) -> list[Any]:
        """Return a column by its name; `what` names its role in the error message.

        Raises:
            InvalidArgument: The table has no such column. Near matches are named.
        """
        if name not in self.columns:
            raise unknown(f"column ({what})", name, self.columns)
        return list(self.columns[name])


@dataclass(frozen=True, eq=False)
class Reader:
    """The conversion of a table's columns to ids for one site's network."""

    site: Site
    tokenizer: Any | None
    _encoded: dict[tuple[str, bool], list[int]] = field(default_factory=dict)
    """The ids of each text, with and without special tokens."""

    def inputs(self, column: Sequence[Any], what: str) -> list[Any]:
        """Return the ids of a column of inputs. Text is tokenized, and ids are unchanged."""
        self._encode_all(column, special=True)
        return [self._ids(value, what, row, special=True) for row, value in enumerate(column)]

    def labels(self, column: Sequence[Any], what: str) -> list[Any]:
        """Return the labels of a column. Text and sets of texts are tokenized, and ids are unchanged."""
        self._encode_all(column, special=False)
        found = []
        for row, value in enumerate(column):
            if isinstance(value, set | frozenset) and any(isinstance(each, str) for each in value):
                found.append({self._only(each, what, row) for each in value})
            elif isinstance(value, str):
                found.append(self._label(value, what, row))
            else:
                found.append(value)
        return found

    def _label(self, text: str, what: str, row: int) -> Any:
        """Return the ids of a label, or the class that it names."""
        network = self.site.network
        if not isinstance(network, TensorModule) or network.per_position:
            return self._ids(text, what, row, special=False)
        return lookup(f"class of {network.name} (row {row})", text, getattr(network.config, "label2id", None) or {})

    def positions(self, position: Position, table: Table, inputs: Sequence[Any], what: str) -> Any:
        """Return the positions: one for all rows, or one for each row."""
        if isinstance(position, TextPosition):
            pieces = table.column(position.column, f"{what} position")
            places = [self._places(*texts, row) for row, texts in enumerate(zip(inputs, pieces, strict=True))]
            return [place if position.tokens == "all" else place[-1] for place in places]
        if isinstance(position, str):
            return table.column(position, f"{what} position")
        return position

    def _encode(self, text: str | list[str], what: str, special: bool, **options: Any) -> Any:
        if self.tokenizer is None:
            raise InvalidArgument(f"{what} is text, and {self.site.network.name} has no tokenizer: give tokenizer=...")
        return self.tokenizer(text, add_special_tokens=special, **options)

    def _encode_all(self, column: Sequence[Any], special: bool) -> None:
        """Tokenize the texts of a column in one call, which takes a small part of the time of a call for each."""
        texts = list(dict.fromkeys(each for each in column if isinstance(each, str)))
        if texts and getattr(self.tokenizer, "is_fast", False):
            rows = self._encode(texts, "", special)["input_ids"]
            self._encoded.update(((text, special), ids) for text, ids in zip(texts, rows, strict=True))

    def _ids(self, value: Any, what: str, row: int, special: bool) -> Any:
        if not isinstance(value, str):
            return value
        known = self._encoded.get((value, special))
        ids = list(self._encode(value, what, special)["input_ids"] if known is None else known)
        unknown_id = getattr(self.tokenizer, "unk_token_id", None)
        if unknown_id is not None and unknown_id in ids:
            raise InvalidArgument(
                f"row {row}: the tokenizer of {self.site.network.name} does not know all of {value!r}"
            )
        if not ids:
            raise InvalidArgument(f"row {row}: {what} is empty")
        return ids

    def _only(self, text: str, what: str, row: int) -> int:
        ids = self._ids(text, what, row, special=False)
        if len(ids) != 1:
            raise InvalidArgument(
                f"row {row}: each text in a set of labels must be a single token; {text!r} is {len(ids)}"
            )
        return int(ids[0])

    def _places(self, text: Any, piece: Any, row: int) -> list[int]:
        """Return the positions of the tokens of a piece of text."""
        if not isinstance(text, str) or not isinstance(piece, str):
            raise InvalidArgument(
                f"row {row}: the position of a piece of text needs text inputs, found {type(text).__name__}"
            )
        if text.count(piece) != 1 or not piece.strip():
            raise InvalidArgument(f"row {row}: {piece!r} occurs {text.count(piece)} times in {text[:60]!r}, not once")
        first = text.index(piece) + len(piece) - len(piece.lstrip())
        last = text.index(piece) + len(piece.rstrip())
        offsets = self._encode(text, "the input", True, return_offsets_mapping=True)["offset_mapping"]
        covering = [index for index, (begin, end) in enumerate(offsets) if begin < last and first < end]
        if not covering:
            raise InvalidArgument(f"row {row}: no token of {text[:60]!r} covers the end of {piece!r}")
        return covering


@dataclass(frozen=True)
class TableColumns:
    """The roles of a table's columns. The fields are those of `Counterfactuals.from_table`."""

    source: str | Sequence[str] = "source"
    target: str | Sequence[str] = "target"
    label: str | Sequence[str] = "label"
    source_position: Position = -1
    target_position: Position = -1
    value: str | None = None
    no_swap_label: str | None = None
    label_position: Position | None = None
    holdout_values: Sequence[Hashable] | None = None

    def remarks(self, table: Table, sites: Sequence[Readable]) -> tuple[str, ...]:
        """Return what was assumed about the columns, one sentence each."""
        networks = [getattr(site, "network", None) for site in sites]
        classes = all(isinstance(each, TensorModule) and not each.per_position for each in networks)
        prompts, labels = (table.column(of_site(name, 0), "label") for name in (self.target, self.label))
        ids = all(isinstance(label, int | np.integer) for label in labels)
        if ids and all(isinstance(prompt, str) for prompt in prompts) and not classes:
            return (*table.remarks, "The labels are whole numbers and are taken as token ids, beside prompts of text.")
        return table.remarks

    def arrays(self, table: Table, readers: Sequence[Reader]) -> UserArrays:
        """Read the columns for every site.

        Raises:
            InvalidArgument: A column is missing, or a site's network cannot read it.
        """
        sources = _read_end(readers, table, self.source, self.source_position, "source")
        targets = _read_end(readers, table, self.target, self.target_position, "target")
        labels = [
            reader.labels(table.column(of_site(self.label, index), "label"), "a label")
            for index, reader in enumerate(readers)
        ]
        values = None if self.value is None else [key_of(each) for each in table.column(self.value, "value")]
        if values is None and isinstance(self.label, str):
            values = [("label", key_of(each)) for each in table.column(self.label, "label")]
        return UserArrays(
            source_inputs=PerSite([inputs for inputs, _ in sources]),
            target_inputs=PerSite([inputs for inputs, _ in targets]),
            source_positions=PerSite([positions for _, positions in sources]),
            target_positions=PerSite([positions for _, positions in targets]),
            labels=PerSite(labels),
            values=values,
            no_swap_labels=self._plain_labels(table, readers),
            label_positions=self._label_positions(table, readers),
            holdout_values=self._holdout_values(),
        )

    def _holdout_values(self) -> Sequence[Hashable] | None:
        """Return the held-out values of a column of values.

        Raises:
            InvalidArgument: There is no column of values.
        """
        if self.holdout_values is not None and self.value is None:
            raise InvalidArgument(
                "holdout_values need the column of the variable's value in each row: name it by value"
            )
        return self.holdout_values

    def _label_positions(self, table: Table, readers: Sequence[Reader]) -> PerSite | None:
        if self.label_position is None:
            return None
        columns = [table.column(of_site(self.target, index), "target") for index in range(len(readers))]
        return PerSite(
            [
                reader.positions(self.label_position, table, column, "label")
                for reader, column in zip(readers, columns, strict=True)
            ]
        )

    def _plain_labels(self, table: Table, readers: Sequence[Reader]) -> PerSite | None:
        if self.no_swap_label is None:
            return None
        column = table.column(self.no_swap_label, "no_swap_label")
        return PerSite([reader.labels(column, "a label") for reader in readers])


def _is_column(entries: Any) -> bool:
    """Whether an entry of a mapping is a column of a table, rather than a table that is a list of rows or another."""
    return isinstance(entries, list) and not all(isinstance(each, Mapping) for each in entries)


def _columns_of_rows(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Return the columns of a table that is a list of rows.

    Raises:
        InvalidArgument: The table is empty, or a row lacks a column of another.
    """
    names = dict.fromkeys(str(name) for row in rows for name in row)
    for index, row in enumerate(rows):
        if lacking := [name for name in names if name not in row]:
            raise InvalidArgument(f"row {index} lacks the column {lacking[0]!r}, which another row has")
    if not names:
        raise InvalidArgument("the table has no rows")
    return {name: [row[name] for row in rows] for name in names}


def readers_of(sites: Sequence[Readable], tokenizer: Any) -> list[Reader]:
    """Return a reader for each site, with the user-supplied tokenizer or the network's own.

    Raises:
        InvalidArgument: A site is a recording, or the number of tokenizers is not that of the sites.
    """
    tokenizers = tokenizer if isinstance(tokenizer, list | tuple) else [tokenizer] * len(sites)
    if len(tokenizers) != len(sites):
        raise InvalidArgument(f"give one tokenizer, or one for each of {len(sites)} sites; found {len(tokenizers)}")
    run = [require_site(site, "counterfactuals from a table run every site") for site in sites]
    return [
        Reader(site, own or getattr(site.network, "tokenizer", None)) for site, own in zip(run, tokenizers, strict=True)
    ]


def _read_end(
    readers: Sequence[Reader], table: Table, named: str | Sequence[str], position: Position, end: str
) -> list[tuple[Any, Any]]:
    """Return the source or the target inputs and their positions, for each site."""
    found = []
    for index, reader in enumerate(readers):
        column = table.column(of_site(named, index), end)
        inputs = reader.inputs(column, f"a {end} input")
        found.append((inputs, reader.positions(position, table, column, end)))
    return found
