"""A table of counterfactual rows, declared in a file: where it is, and what its columns hold."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import model_validator

from causalign.config_model import ConfigModel
from causalign.counterfactuals.dataset import Counterfactuals
from causalign.counterfactuals.from_table import Position, TextPosition
from causalign.counterfactuals.splits import SHARES
from causalign.errors import FileFormatError, InvalidArgument
from causalign.sites.readable import Readable
from causalign.storage import DEFAULT_BUDGET


class TableSpec(ConfigModel):
    """A table with a row for each pair of a source and a target input, as `Counterfactuals.from_table` takes it.

    The datasets of causalab are such tables.
    """

    table: str
    """The file, from the working directory: `.csv`, `.tsv`, `.json`, `.jsonl`, or `.parquet`. What a `.csv` or `.tsv`
    holds is text, but for positions."""
    source: str = "source"
    """The column of source inputs, text or ids."""
    target: str = "target"
    """The column of target inputs."""
    label: str = "label"
    """The column of what should follow the target input after the swap."""
    position: int | str | tuple[int, ...] = -1
    """Where states are swapped: a number (-1 is the last token), several in ascending order, or the column that holds
    them."""
    text_position: str | None = None
    """The column of the piece of text at whose last token states are swapped, in place of `position`."""
    text_tokens: Literal["last", "all"] = "last"
    """Whether states are swapped at the last token of `text_position`, or at all of its tokens."""
    value: str | None = None
    """The column with the value of the variable in the source input."""
    holdout_values: tuple[int | str, ...] | None = None
    """Entries of the column `value` whose rows are taken out of every split and scored by themselves."""
    no_swap_label: str | None = None
    """The column of what is right with nothing swapped."""
    split: str | None = None
    """The column that names the split of each row. By default rows are split by the seed, 80, 10 and 10 percent."""
    variable: str | None = None
    """The name of the variable, for tables and figures, `full` by default; with `variable_column`, the variable whose
    rows are taken."""
    variable_column: str | None = None
    """The column that names the variable of each row. Where it names several and `variable` takes none of them, each
    row swaps its own (`rank` has one for each)."""
    loss: str = "scored"
    """Whether the search minimizes the loss of the `scored` tokens, or of `all` that are read after the swap."""

    @property
    def fingerprint(self) -> str:
        """The first 16 hexadecimal digits of the SHA-256 of the file.

        Raises:
            FileFormatError: The file cannot be read.
        """
        try:
            return hashlib.sha256(Path(self.table).read_bytes()).hexdigest()[:16]
        except OSError as error:
            raise FileFormatError(f"cannot read the table {self.table}: {error.strerror}") from None

    @model_validator(mode="after")
    def _one_position(self) -> "TableSpec":
        if self.text_position is not None and self.position != -1:
            raise InvalidArgument(f"position = {self.position!r} and text_position are both given: leave one out")
        if self.text_position is None and self.text_tokens != "last":
            raise InvalidArgument(f"text_tokens = {self.text_tokens!r} belongs to text_position, which is not given")
        return self

    def dataset(self, sites: Sequence[Readable], seed: int, memory: float | None) -> Counterfactuals:
        """Read the table, and make a dataset for these sites.

        Raises:
            CausalignError: The file cannot be read, or its columns do not fit the sites.
        """
        of_text = self.text_position
        at: Position = self.position if of_text is None else TextPosition(of_text, self.text_tokens)
        return Counterfactuals.from_table(
            self.table,
            sites,
            source=self.source,
            target=self.target,
            label=self.label,
            position=at,
            value=self.value,
            holdout_values=self.holdout_values,
            no_swap_label=self.no_swap_label,
            split=SHARES if self.split is None else self.split,
            variable=self.variable,
            variable_column=self.variable_column,
            loss=self.loss,
            seed=seed,
            memory=DEFAULT_BUDGET if memory is None else memory,
        )
