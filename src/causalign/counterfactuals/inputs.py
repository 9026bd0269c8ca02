"""User-supplied inputs: what a network reads, and the positions at which its states are read or swapped."""

from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Int, Num

from causalign.engine.activation_cache import Activations
from causalign.errors import InvalidArgument
from causalign.run_context import RunContext
from causalign.sites.base import Site

if TYPE_CHECKING:
    from causalign.counterfactuals.labels import Labels

Rows = Sequence[Any] | Iterable[Any]
"""Rows of ids: a matrix, or a list of lists that may differ in length."""


class PerSite(tuple[Any, ...]):
    """An argument that differs between sites: `PerSite([for the first site, for the second site])`."""

    __slots__ = ()


@dataclass(frozen=True, eq=False)
class SuppliedInputs:
    """The source or the target inputs as they were supplied for one site."""

    end: str
    """`source` or `target`, for error messages."""
    inputs: Any
    positions: Any = -1
    mask: Any = None
    label_positions: Any = None


class ExpectedOutput(NamedTuple):
    """Everything that is expected to follow each swap, padded."""

    tokens: Num[np.ndarray, "rows steps"]
    """Token ids or classes; or numbers, where the output is a regression."""
    scored: Bool[np.ndarray, "rows steps"]
    lengths: Int[np.ndarray, " rows"]


class Inputs(ABC):
    """The source or the target inputs, as one network reads them."""

    positions: Int[np.ndarray, "rows swaps"]
    """The positions at which the states of each row are read or swapped, in ascending order. Stepwise, all positions up
    to the only one are."""

    def __len__(self) -> int:
        return len(self.positions)

    @property
    def first(self) -> Int[np.ndarray, " rows"]:
        """The first position of each row."""
        return self.positions[:, 0]

    @property
    @abstractmethod
    def lengths(self) -> Int[np.ndarray, " rows"]:
        """The number of positions of each input."""

    @abstractmethod
    def take(self, rows: Int[np.ndarray, " chosen"]) -> "Inputs":
        """Return some rows."""

    @abstractmethod
    def key(self, row: int) -> Hashable:
        """Return a value that is the same for rows with the same input and positions."""

    @abstractmethod
    def update(self, digest: Any) -> None:
        """Add the inputs to a hash."""

    @abstractmethod
    def expected(self, labels: "Labels") -> ExpectedOutput:
        """Return what is expected to follow the swap in these target inputs."""

    @abstractmethod
    def read(self, site: Site, context: RunContext, *, stepwise: bool, with_prefix: bool) -> Activations:
        """Read the states of a site at the positions or, stepwise, up to them, with the prefix for a target.

        Raises:
            InvalidArgument: States are NaN or infinite.
        """

    @abstractmethod
    def check(self, site: Site, labels: "Labels", seed: int, stepwise: bool) -> None:
        """Check a site on the shortest and the longest of these inputs, each followed by its label.

        Raises:
            InvalidArgument: The site fails a check.
        """

    @abstractmethod
    def completed(self, site: Site, labels: "Labels") -> Bool[np.ndarray, " rows"]:
        """Return whether the network's output is the label in every row, with nothing swapped."""

    def require_labels(self, labels: "Labels") -> None:  # noqa: ARG002
        """Check that there is an output for every label.

        Raises:
            InvalidArgument: There is not. The message names the row.
        """
        return

    def require_positions(self, targets: "Inputs") -> None:
        """Check that every row has one position, the same in both inputs, as stepwise swaps need.

        Raises:
            InvalidArgument: A row has several positions, or different ones. The message names the first such row.
        """
        if self.positions.shape[1] > 1:
            raise InvalidArgument(
                f"a stepwise swap is of all positions up to one; found {self.positions.shape[1]} positions in each row"
            )
        differ = np.flatnonzero(self.first != targets.first)
        if len(differ):
            row = int(differ[0])
            raise InvalidArgument(
                f"row {row}: a stepwise swap needs the same position in both inputs; found {self.first[row]} in "
                f"the source and {targets.first[row]} in the target"
            )


def positions_of(end: str, given: Any, rows: int) -> Int[np.ndarray, "rows swaps"]:
    """Return the positions of each row: one, or several.

    Args:
        end: `source` or `target`, for the error message.
        given: A whole number for all rows; one for each row; several for each row, `[rows, swaps]`; or a tuple or a
            range, several that are the same for all rows.
        rows: The number of rows.

    Raises:
        InvalidArgument: They are something else, or rows differ in the number of positions.
    """
    wanted = f"{end}_positions must be a whole number, or one per row (-1 is the last)"
    if given is None:
        raise InvalidArgument(f"{wanted}; found None")
    if isinstance(given, tuple | range):
        given = np.broadcast_to(np.asarray(given), (rows, len(given)))
    listed = list(given) if isinstance(given, Iterable) and not isinstance(given, str) else given
    counts = {np.size(each) for each in listed} if isinstance(listed, list) else {1}
    if len(counts) > 1:
        raise InvalidArgument(
            f"{end}_positions must be as many in every row; found rows with {' and '.join(map(str, sorted(counts)))}"
        )
    at = np.asarray(listed)
    if at.dtype.kind not in "iu" or at.ndim > 2 or not at.size:
        raise InvalidArgument(f"{wanted}; found {str(given)[:60]}")
    if at.ndim and len(at) != rows:
        raise InvalidArgument(
            f"{end}_positions needs one entry for each of {rows} rows of {end}_inputs; found {len(at)}"
        )
    swaps = at.shape[1] if at.ndim == 2 else 1
    return np.broadcast_to(at.reshape(-1, swaps), (rows, swaps)).astype(np.int64)


def require_ascending(end: str, positions: Int[np.ndarray, "rows swaps"]) -> None:
    """Check that the positions of each row ascend.

    Raises:
        InvalidArgument: They do not. The message names the first such row.
    """
    wrong = np.flatnonzero((np.diff(positions, axis=1) <= 0).any(axis=1))
    if len(wrong):
        row = int(wrong[0])
        raise InvalidArgument(
            f"row {row}: {end}_positions must be different tokens in ascending order; found {positions[row].tolist()}"
        )


def whole_rows(name: str, given: Rows, first: int = 0) -> list[Int[np.ndarray, " _"]]:
    """Return rows of ids as arrays of whole numbers. `first` is the number of the first row in error messages.

    Raises:
        InvalidArgument: A row is empty, or holds something else. The message names the row.
    """
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise InvalidArgument(f"{name} must be rows of ids, found {type(given).__name__}")
    rows = []
    for index, row in enumerate(given, start=first):
        try:
            numbers = np.asarray(row)
        except ValueError:
            numbers = np.empty((0, 0))
        if numbers.ndim != 1 or numbers.dtype.kind not in "iub" or not len(numbers):
            raise InvalidArgument(
                f"{name}, row {index}: a row must be a sequence of whole numbers, found {str(row)[:60]}"
            )
        rows.append(numbers.astype(np.int64))
    return rows


def require_ids(ids: Int[np.ndarray, " _"], known: int, network: str, what: str, kind: str = "token ids") -> None:
    """Check that a network knows every id, of a token or of a class.

    Raises:
        InvalidArgument: An id is not in the vocabulary.
    """
    outside = ids[(ids < 0) | (ids >= known)]
    if len(outside):
        raise InvalidArgument(f"{what} has the id {outside[0]}, but {network} has the {kind} 0 to {known - 1}")


def remaining_position(name: str, position: int, there: Int[np.ndarray, " time"], row: int) -> int:
    """Return a position among the tokens of a row that are not masked. A negative one counts them from the last.

    Args:
        name: The name of the positions in the error message.
        position: The position in the row as it was supplied.
        there: The mask of the row, 0 where there is no token.
        row: The number of the row in the error message.

    Raises:
        InvalidArgument: There is no such token.
    """
    if position < 0:
        found = position + int(np.count_nonzero(there))
        inside = found >= 0
    else:
        inside = position < len(there) and bool(there[position])
        found = int(np.count_nonzero(there[:position]))
    if not inside:
        raise InvalidArgument(f"row {row}: there is no token at {name} {position}; the row has length {len(there)}")
    return found


def require_no_pads(end: str, name: str, config: Any, rows: Sequence[Int[np.ndarray, " _"]]) -> None:
    """Check that no row begins or ends with the pad token of a model, which would need a mask.

    Args:
        end: `source` or `target`, for the error message.
        name: The name of the model in the error message.
        config: Its configuration, if it has one: its pad, its first and its last token are known from there.
        rows: The ids of each row.

    Raises:
        InvalidArgument: A row does. The message names it.
    """
    pad, begin = getattr(config, "pad_token_id", None), getattr(config, "bos_token_id", None)
    if pad is None or pad == begin:
        return
    ends = pad != getattr(config, "eos_token_id", None)
    for index, row in enumerate(rows):
        first, last = row[0] == pad, ends and row[-1] == pad
        if (first or last) and len(row) > 1 and len(rows) > 1:
            raise InvalidArgument(
                f"row {index}: {end}_inputs {'begins' if first else 'ends'} with the pad {pad} of {name}, but there is "
                f"no mask: give {end}_mask, the tokenizer's attention_mask, or rows without pads"
            )


def key_of(value: Any) -> Any:
    """Return a hashable equivalent of a value in a table."""
    if isinstance(value, set | frozenset):
        return ("any of", tuple(sorted(map(str, value))))
    if isinstance(value, list | tuple):
        return tuple(key_of(each) for each in value)
    if isinstance(value, Mapping):
        return ("of names", tuple(sorted((str(name), key_of(each)) for name, each in value.items())))
    return key_of(value.tolist()) if hasattr(value, "tolist") else value  # numpy and torch


def of_site(given: Any, index: int) -> Any:
    """Return the argument of one site: its own entry of a `PerSite` or of names, or the same argument for all.

    Raises:
        InvalidArgument: There is no entry for the site.
    """
    if isinstance(given, PerSite) or (
        isinstance(given, list | tuple) and bool(given) and all(isinstance(each, str) for each in given)
    ):
        if index >= len(given):
            raise InvalidArgument(
                f"an argument that differs between sites needs an entry for each; site {index} has none of {len(given)}"
            )
        return given[index]
    return given
