"""Counterfactual rows from a table: columns of text, of ids, or of arrays, resolved for every site's network."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from causalign.counterfactuals.inputs import PerSite, key_of, of_site
from causalign.counterfactuals.row_source import SPLITS
from causalign.counterfactuals.splits import Split
from causalign.counterfactuals.user_arrays import UserArrays
from causalign.errors import InvalidArgument, unknown
from causalign.sites.base import Site, require_site
from causalign.sites.readable import Readable


@dataclass(frozen=True)
class TextPosition:
    """The position of a piece of text: the last token of the piece that a column holds.

    The piece must occur exactly once in the row's input.
    """

    column: str


Position = int | str | TextPosition
"""A position in every row (-1 is the last), the column that holds it, or that of a piece of text."""


@dataclass(frozen=True, eq=False)
class Table:
    """The columns of a table: a pandas DataFrame, a dataset of Hugging Face's datasets, or a mapping of columns."""

    columns: Mapping[str, list[Any]]

    @classmethod
    def of(cls, table: Any) -> "Table":
        """Take the columns of a table.

        Raises:
            InvalidArgument: It is not a table, has no rows, or its columns are not of one length.
        """
        names = getattr(table, "column_names", None) or getattr(table, "columns", None)
        if names is None and isinstance(table, Mapping):
            names = table.keys()
        if names is None:
            raise InvalidArgument(
                f"a table is a DataFrame, a Hugging Face dataset, or a mapping of columns; found {type(table).__name__}"
            )
        columns = {str(name): list(table[name]) for name in names}
        lengths = {name: len(column) for name, column in columns.items()}
        if len(set(lengths.values())) != 1 or not next(iter(lengths.values())):
            raise InvalidArgument(f"the columns of a table have the same number of rows, at least one; found {lengths}")
        return cls(columns)

    @classmethod
    def with_split(cls, table: Any, split: Split | str) -> tuple["Table", Split]:
        """Take the columns of a table, or of three, and the split of its rows.

        Raises:
            InvalidArgument: It is not a table, or lacks the column of the split.
        """
        if (
            isinstance(table, Mapping)
            and set(table) == set(SPLITS)
            and not isinstance(next(iter(table.values())), list)
        ):
            parts = {name: cls.of(table[name]) for name in SPLITS}
            split = [name for name, part in parts.items() for _ in range(len(part))]
            table = {
                column: [row for part in parts.values() for row in part.column(column, "of every split")]
                for column in parts["train"].columns
            }
        found = cls.of(table)
        return found, [str(name) for name in found.column(split, "split")] if isinstance(split, str) else split

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def column(self, name: str, what: str) -> list[Any]:
        """Return a column.

        Raises:
            InvalidArgument: The table has no such column; near matches are named.
        """
        if name not in self.columns:
            raise unknown(f"column ({what})", name, self.columns)
        return list(self.columns[name])


@dataclass(frozen=True, eq=False)
class Reader:
    """How one site's network reads the columns of a table."""

    site: Site
    tokenizer: Any | None

    def inputs(self, column: Sequence[Any], what: str) -> list[Any]:
        """The ids of a column of inputs; text is tokenized, ids stay as they are."""
        return [self._ids(value, what, row, special=True) for row, value in enumerate(column)]

    def labels(self, column: Sequence[Any], what: str) -> list[Any]:
        """The labels of a column: text is tokenized, a set of texts becomes a set of ids, all else stays as it is."""
        found = []
        for row, value in enumerate(column):
            if isinstance(value, set | frozenset) and any(isinstance(each, str) for each in value):
                found.append({self._only(each, what, row) for each in value})
            elif isinstance(value, str):
                ids = self._ids(value, what, row, special=False)
                found.append(ids)
            else:
                found.append(value)
        return found

    def positions(self, position: Position, table: Table, inputs: Sequence[Any], what: str) -> Any:
        """The position in each row."""
        if isinstance(position, TextPosition):
            pieces = table.column(position.column, f"{what} position")
            return [self._place(text, piece, row) for row, (text, piece) in enumerate(zip(inputs, pieces, strict=True))]
        if isinstance(position, str):
            return table.column(position, f"{what} position")
        return position

    def _encode(self, text: str, what: str, special: bool, **options: Any) -> Any:
        if self.tokenizer is None:
            raise InvalidArgument(f"{what} is text, and {self.site.network.name} has no tokenizer: give tokenizer=...")
        return self.tokenizer(text, add_special_tokens=special, **options)

    def _ids(self, value: Any, what: str, row: int, special: bool) -> Any:
        if not isinstance(value, str):
            return value
        ids = list(self._encode(value, what, special)["input_ids"])
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
            raise InvalidArgument(f"row {row}: several allowed labels are single tokens, and {text!r} is {len(ids)}")
        return int(ids[0])

    def _place(self, text: Any, piece: Any, row: int) -> int:
        """The last token of a piece of text."""
        if not isinstance(text, str) or not isinstance(piece, str):
            raise InvalidArgument(f"row {row}: the position of a piece of text needs text, found {type(text).__name__}")
        if text.count(piece) != 1 or not piece:
            raise InvalidArgument(f"row {row}: {piece!r} occurs {text.count(piece)} times in {text[:60]!r}, not once")
        last = text.index(piece) + len(piece.rstrip())
        offsets = self._encode(text, "the input", True, return_offsets_mapping=True)["offset_mapping"]
        covering = [index for index, (begin, end) in enumerate(offsets) if begin < last <= end]
        if not covering:
            raise InvalidArgument(f"row {row}: no token of {text[:60]!r} ends {piece!r}")
        return covering[0]


@dataclass(frozen=True)
class TableColumns:
    """Which columns of a table hold what, as `Counterfactuals.from_table` takes them."""

    source: str | Sequence[str] = "source"
    target: str | Sequence[str] = "target"
    label: str | Sequence[str] = "label"
    source_position: Position = -1
    target_position: Position = -1
    value: str | None = None
    no_swap_label: str | None = None

    def arrays(self, table: Table, readers: Sequence[Reader]) -> UserArrays:
        """Read the columns for every site.

        Raises:
            InvalidArgument: A column is missing, or holds what a site's network cannot read.
        """
        sources = _read_end(readers, table, self.source, self.source_position, "source")
        targets = _read_end(readers, table, self.target, self.target_position, "target")
        labels = [
            reader.labels(table.column(of_site(self.label, index), "label"), "a label")
            for index, reader in enumerate(readers)
        ]
        values = None if self.value is None else table.column(self.value, "value")
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
        )

    def _plain_labels(self, table: Table, readers: Sequence[Reader]) -> PerSite | None:
        if self.no_swap_label is None:
            return None
        column = table.column(self.no_swap_label, "no_swap_label")
        return PerSite([reader.labels(column, "a label") for reader in readers])


def readers_of(sites: Sequence[Readable], tokenizer: Any) -> list[Reader]:
    """Return how each site's network reads text: by the tokenizer that is given, or by its own.

    Raises:
        InvalidArgument: A site is a recording, or there are tokenizers for fewer sites.
    """
    given = tokenizer if isinstance(tokenizer, list | tuple) else [tokenizer] * len(sites)
    if len(given) != len(sites):
        raise InvalidArgument(f"give one tokenizer, or one for each of {len(sites)} sites; found {len(given)}")
    run = [require_site(site, "counterfactuals from a table are run") for site in sites]
    return [Reader(site, own or getattr(site.network, "tokenizer", None)) for site, own in zip(run, given, strict=True)]


def _read_end(
    readers: Sequence[Reader], table: Table, named: str | Sequence[str], position: Position, end: str
) -> list[tuple[Any, Any]]:
    """The inputs of one end and their positions, for each site."""
    found = []
    for index, reader in enumerate(readers):
        column = table.column(of_site(named, index), end)
        inputs = reader.inputs(column, f"a {end} input")
        found.append((inputs, reader.positions(position, table, column, end)))
    return found
