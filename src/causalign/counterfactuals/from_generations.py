"""Counterfactual rows without a causal model: after the swap, the target should write what the source network wrote.

    prompts --each network--> recorded texts
    (source prompt, target prompt) --swap at the last token--> expected: the source network's text on the source prompt

The expected output of a direction depends on its source. The rows of each source are rows of arrays, whose labels are
the texts of that network; all of them share inputs and activations.
"""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from torch import Tensor
from typing_extensions import override

from causalign.counterfactuals.direction import Direction
from causalign.counterfactuals.from_arrays import ArrayRows
from causalign.counterfactuals.from_table import Reader
from causalign.counterfactuals.generations import Generation, Generations, read_prompts
from causalign.counterfactuals.row_source import SPLITS, RowRequest, RowSource
from causalign.counterfactuals.rows import CounterfactualRows
from causalign.counterfactuals.shared_vocabulary import require_same_vocabulary
from causalign.counterfactuals.splits import Split, split_rows
from causalign.counterfactuals.user_arrays import UserArrays
from causalign.errors import InvalidArgument
from causalign.random_streams import numpy_stream
from causalign.run_context import RunContext
from causalign.sites.readable import Readable

Pairs = tuple[Int[np.ndarray, " pairs"], Int[np.ndarray, " pairs"]]
"""The source prompt and the target prompt of each row."""


@dataclass(frozen=True)
class Pairing:
    """How prompts are split and paired. The fields are those of `Counterfactuals.from_generations`."""

    pairs: int
    split: Split
    seed: int

    def __post_init__(self) -> None:
        if not isinstance(self.pairs, int) or isinstance(self.pairs, bool) or self.pairs < 1:
            raise InvalidArgument(f"pairs must be a whole number, at least 1; found {self.pairs!r}")

    def rounds(self, split: str) -> int:
        """Return the number of sources of each target prompt of a split."""
        return self.pairs if split == "train" else 1


@dataclass(frozen=True, eq=False)
class GenerationRows(RowSource):
    """Rows whose expected output is the text that the source's network has written."""

    sites: tuple[Readable, ...]
    by_source: tuple[ArrayRows, ...]
    """The rows of each source. They differ in their labels, and share inputs and activations."""
    record: Generations
    """The recorded texts of all prompts."""
    tokenizers: tuple[Any, ...]
    """The tokenizer of each site; `None` if it has none."""
    remarks: tuple[str, ...]

    @classmethod
    def generated(
        cls, readers: Sequence[Reader], prompts: Iterable[Any], how: Generation, pairing: Pairing
    ) -> "GenerationRows":
        """Generate the texts of all networks, and pair the prompts of each split.

        Raises:
            InvalidArgument: As in `Counterfactuals.from_generations`.
        """
        for reader in readers:
            if reader.site.takes_tensors:
                raise InvalidArgument(
                    f"{reader.site.network.name} reads its input as a whole, and writes no text after a prompt: use "
                    "from_arrays or from_table"
                )
        assumed = require_same_vocabulary(readers)
        whole = how.cut(read_prompts(readers, prompts))
        kept, split_of, copies = _distinct(whole, pairing)
        recorded = Generations.recorded(readers, [whole[row] for row in kept], kept, how)
        written = np.flatnonzero(~recorded.empty.any(axis=0))
        record, split_of = recorded.take(written), split_of[written]
        source, target, lonely = _paired(record, split_of, pairing)
        sites = tuple(reader.site for reader in readers)
        rows = [
            replace(_array_rows(sites, record, index, (source, target), split_of[target]), seed=pairing.seed)
            for index in range(len(sites))
        ]
        ends = how.notes([reader.site.network for reader in readers])
        notes = (*assumed, *ends, *copies, *recorded.empty_notes, *lonely, *record.cut_notes)
        rows = [each.renumbered(record.index[target]) for each in rows]
        return cls(sites, _joined(rows), record, tuple(reader.tokenizer for reader in readers), notes)

    @property
    @override
    def counts(self) -> dict[str, int]:
        return self.by_source[0].counts

    @override
    def index(self, split: str) -> Int[np.ndarray, " rows"]:
        """Return the place of each row's target prompt."""
        return self.by_source[0].index(split)

    @property
    @override
    def fingerprint(self) -> str:
        return hashlib.sha256("".join(rows.fingerprint for rows in self.by_source).encode()).hexdigest()[:16]

    def _changed(self, change: Callable[[ArrayRows], ArrayRows]) -> "GenerationRows":
        rows = _joined([change(each) for each in self.by_source])
        return replace(self, sites=rows[0].sites, by_source=rows)

    @override
    def with_sites(self, sites: Sequence[Readable]) -> "GenerationRows":
        """Return the same rows for other sites. The recorded texts stay those of the networks that wrote them."""
        return self._changed(lambda rows: rows.with_sites(sites))

    @override
    def with_counts(self, counts: dict[str, int]) -> "GenerationRows":
        return self._changed(lambda rows: rows.with_counts(counts))

    @override
    def shuffled(self, seed: int) -> "GenerationRows":
        return self._changed(lambda rows: rows.shuffled(seed))

    @property
    @override
    def notes(self) -> tuple[str, ...]:
        return self.remarks

    @override
    def check(self, stepwise: bool, seed: int) -> None:
        self.by_source[0].check(stepwise, seed)

    @override
    def rows(self, request: RowRequest, context: RunContext) -> dict[Direction, CounterfactualRows]:
        found: dict[Direction, CounterfactualRows] = {}
        for source, rows in enumerate(self.by_source):
            directions = tuple(direction for direction in request.directions if direction.source == source)
            found |= rows.rows(replace(request, directions=directions), context)
        return {direction: found[direction] for direction in request.directions}

    @override
    def nbytes(self, split: str) -> int:
        return self.by_source[0].nbytes(split)

    @override
    def class_means(self, stepwise: bool, context: RunContext, variable: int = 0) -> list[Float[Tensor, "classes _"]]:
        """Return the mean states of source prompts after which every network writes the same as after each other."""
        return self.by_source[0].class_means(stepwise, context, variable)

    @override
    def class_count(self) -> int | None:
        return self.by_source[0].class_count()

    @override
    def without_classes(self, stepwise: bool) -> str | None:
        return self.by_source[0].without_classes(stepwise)

    @property
    @override
    def without_complement(self) -> str | None:
        return self.by_source[0].without_complement

    @override
    def paired_states(self, context: RunContext) -> list[Float[Tensor, "pairs _"]]:
        return self.by_source[0].paired_states(context)

    @override
    def accuracy(self, index: int, context: RunContext) -> float | None:
        """Return `None`: what is correct with nothing swapped is not known."""
        return None


def _joined(rows: Sequence[ArrayRows]) -> tuple[ArrayRows, ...]:
    """Return rows that differ in their labels only, so that they share the activations that are read."""
    return (rows[0], *(replace(rows[0], splits=each.splits) for each in rows[1:]))


def _distinct(
    prompts: Sequence[Int[np.ndarray, " _"]], pairing: Pairing
) -> tuple[Int[np.ndarray, " kept"], np.ndarray, tuple[str, ...]]:
    """Split the prompts, and return the places of the first of equal ones, their splits, and a note on the others."""
    keys = [prompt.tobytes() for prompt in prompts]
    keys_of = {key: number for number, key in enumerate(dict.fromkeys(keys))}
    chosen, _ = split_rows(keys, pairing.split, pairing.seed)
    split_of = np.full(len(keys), "", dtype=object)
    for split in SPLITS:
        split_of[chosen[split]] = split
    _, first = np.unique([keys_of[key] for key in keys], return_index=True)
    copies = len(keys) - len(first)
    notes = (f"{copies:,} prompts are equal to others up to their positions, and were left out.",) if copies else ()
    first = first[split_of[first] != ""]
    return first, split_of[first], notes


def _paired(record: Generations, split_of: np.ndarray, pairing: Pairing) -> tuple[Any, Any, tuple[str, ...]]:
    """Pair the prompts of each split at random with others that have as many tokens.

    In a round, every prompt is a source once and a target once. No two rounds have the same pair.

    Raises:
        InvalidArgument: A split has no two prompts of the same length.
    """
    lengths = np.array([len(prompt) for prompt in record.prompts], dtype=np.int64)
    rng, lonely, short = numpy_stream(pairing.seed, "pairs"), 0, 0
    sources: list[Int[np.ndarray, " group"]] = []
    targets: list[Int[np.ndarray, " group"]] = []
    for split in SPLITS:
        before, rounds = len(targets), pairing.rounds(split)
        for length in np.unique(lengths[split_of == split]):
            group = rng.permutation(np.flatnonzero((split_of == split) & (lengths == length)))
            lonely += len(group) == 1
            short += len(group) * (1 < len(group) <= rounds)
            for shift in range(1, min(rounds, len(group) - 1) + 1):
                sources.append(np.roll(group, shift))
                targets.append(group)
        if len(targets) == before:
            raise InvalidArgument(
                f"the split {split} has no two prompts with the same number of tokens after which every network writes "
                "something: give more prompts, or positions"
            )
    notes = []
    if lonely:
        notes.append(f"{lonely:,} prompts were left out: no other of their split has as many tokens.")
    if short:
        notes.append(f"{short:,} prompts have fewer than {pairing.pairs} others of their length as sources.")
    return np.concatenate(sources), np.concatenate(targets), tuple(notes)


def _array_rows(
    sites: tuple[Readable, ...], record: Generations, index: int, pairs: Pairs, split: np.ndarray
) -> ArrayRows:
    """Return the rows of one source: the labels are what its network wrote after the source prompts."""
    source, target = pairs
    together = [tuple(text.ids.tobytes() for text in texts) for texts in zip(*record.texts, strict=True)]
    arrays = UserArrays(
        source_inputs=[record.prompts[row] for row in source],
        target_inputs=[record.prompts[row] for row in target],
        labels=[record.texts[index][row].ids for row in source],
        values=[together[row] for row in source],
        no_swap_labels=[record.texts[index][row].ids for row in target],
    )
    return ArrayRows.checked(sites, arrays, split.tolist(), "scored", 0)
