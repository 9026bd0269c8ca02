"""Problems of RASP programs that tracr has compiled into transformers.

A program writes each of its variables along named directions of the residual stream, so that the true subspaces are
known. The networks and rows are drawn here; the transformers are in `tracr_transformer`.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.linalg import orth
from torch import Tensor

from causalign.counterfactuals.dataset import Counterfactuals
from causalign.counterfactuals.inputs import PerSite
from causalign.networks.regression import Regression
from causalign.random_streams import numpy_stream, torch_stream
from causalign.search.config import SearchConfig
from causalign.sites.base import Site
from causalign.validation.problem import Case, Problem
from causalign.validation.problems.tracr_transformer import Program, TracrTransformer

LETTERS, LENGTH, CLASSES = "abc", 5, 6
COUNTS = range(1, LENGTH)
"""The counts that occur with every letter."""
ROWS, SHARES = 4800, (0.6, 0.15, 0.25)
"""The rows, and the shares of train, validation and test rows: copies of a row stay in one split."""
SPARE_WIDTH = 8
"""Directions of a rotated copy that the compiled stream does not have."""
AFTER_COUNT, BEFORE_COUNT = "blocks.1", "tokens"
BRACKETS, BRACKETS_LENGTH, BEFORE_DIFFERENCE = "()x", 6, "blocks.2"
BALANCE_TOLERANCE = 0.05
"""Less than half of 1/6, the least difference between shares."""
ADAM: dict[str, Any] = {"optimizer": "adam", "early_stopping": False}
SEARCH = SearchConfig(max_steps=200, eval_every=200, learning_rate=0.02, batch_size=256, **ADAM)
"""A search that settles. One that ends when every row is right leaves the angles open."""
BALANCE_SEARCH = SearchConfig(max_steps=600, eval_every=600, learning_rate=0.03, batch_size=128, **ADAM)

Places = list[tuple[str, int]]
"""Texts, each with a position."""


@dataclass(frozen=True)
class Counter:
    """A program that counts letters, and answers (count + shift * place of the letter at a position) modulo 6.

    Attributes:
        name: The name of the compiled program.
        shift: The factor of the place of the letter in the alphabet.
        label: The name of the directions that hold the count, one for each value.
    """

    name: str
    shift: int
    label: str

    def value(self, text: str, at: int) -> int:
        """Return the count at a position."""
        return text.count("a" if self.name == "count" else text[at])

    def places(self) -> dict[tuple[int, str], Places]:
        """Return all texts and positions, by the count and by the letter there."""
        found = defaultdict(list)
        for letters, at in product(product(LETTERS, repeat=LENGTH), range(LENGTH)):
            text = "".join(letters)
            found[self.value(text, at), text[at]].append((text, at))
        return found

    def answer(self, value: int, text: str, at: int) -> int:
        """Return the class of the answer where the count is as given and the letter is that of the text."""
        return (value + self.shift * LETTERS.index(text[at])) % CLASSES

    def frame(self, module: TracrTransformer, values: Sequence[int]) -> Float[np.ndarray, "width dimensions"]:
        """Return the subspace of the count: differences of its values, and the reciprocal from which it is decoded.

        Nothing reads that reciprocal, 1 / (1 + count), once the count is decoded. A subspace that leans towards its
        direction carries the count as well, so that it belongs to what is true.
        """
        program = Program.load(self.name)
        places = [program.directions.index(f"{self.label}:{value}") for value in values]
        codes = np.eye(len(program.directions))[:, places]
        differences = orth(codes - codes.mean(axis=1, keepdims=True), rcond=1e-6)
        reciprocal = program.basis(f"{self.label}_selector_width_attn_output").numpy()
        return _inner_frame(module) @ np.hstack([differences, reciprocal])


COUNT, HISTOGRAM = Counter("count", 1, "count_a"), Counter("histogram", 2, "hist")


def counters(which: Sequence[Counter], modules: Sequence[TracrTransformer], values: Sequence[int], seed: int) -> Case:
    """Return the case in which programs swap their counts, after the MLP that decodes them.

    Args:
        which: The program of each network.
        modules: The networks.
        values: The counts.
        seed: The seed of the rows.
    """
    data = _count_rows(which, modules, values, at=AFTER_COUNT, seed=seed)
    frames = tuple({"count": each.frame(module, values)} for each, module in zip(which, modules, strict=True))
    method = "das" if len(modules) == 1 else "mas"
    return Case(data, {"method": method, "rank": len(values) - 1, "search": SEARCH, "seed": seed}, frames)


def default_search(seed: int) -> Case:
    """Return the case of the count with the default search."""
    case = counters([COUNT], [_module("count")], COUNTS, seed)
    return replace(case, fields={name: value for name, value in case.fields.items() if name != "search"})


def rotated(program: Program, seed: int) -> TracrTransformer:
    """Return the network of a program whose residual stream is turned, and wider than it need be."""
    width = len(program.inner) + SPARE_WIDTH
    turned = torch.linalg.qr(torch.randn(width, width, generator=torch_stream(seed, "rotation"))).Q
    return TracrTransformer(program, turned[:, : len(program.inner)])


def before_count(seed: int) -> Case:
    """Return the case in which the state of one token is swapped before the others have been read."""
    data = _count_rows([COUNT], [_module("count")], range(CLASSES), at=BEFORE_COUNT, seed=seed)
    return Case(data, {"method": "das", "rank": CLASSES - 1, "search": SEARCH, "seed": seed})


def ceiling_before_count() -> float:
    """Return the largest IIA that a swap of a token's own state can have: sum over letters of max_n P(n, letter).

    After such a swap the output depends on the source through its letter only, and the expected output is another one
    for each count. So at most the likeliest count of each letter is right.
    """
    joint = np.zeros((CLASSES, len(LETTERS)))
    for value in range(CLASSES):
        letters = [letter for letter in LETTERS if COUNT.places()[value, letter]]
        for letter in letters:
            joint[value, LETTERS.index(letter)] = 1 / CLASSES / len(letters)
    return float(joint.max(axis=0).sum())


def balance(seed: int) -> Case:
    """Return the case of the shares of opening and of closing brackets, each a block of one dimension."""
    program, module = Program.load("balance"), _module("balance")
    texts = ["".join(each) for each in product(BRACKETS, repeat=BRACKETS_LENGTH)]
    ids, shares = np.array([program.ids(text) for text in texts]), np.array([bracket_shares(text) for text in texts])
    rng, rows = numpy_stream(seed, "rows"), np.arange(ROWS)
    source, target = rng.integers(len(texts), size=(2, ROWS))
    swapped, after = rows % 2, shares[target]
    after[rows, -1, swapped] = shares[source, -1, swapped]
    data = Counterfactuals.from_arrays(
        Site(
            module,
            _place(module, BEFORE_DIFFERENCE),
            inputs=ids[:3],
            output=Regression(BALANCE_TOLERANCE, read=_numbers),
        ),
        source_inputs=ids[source],
        target_inputs=ids[target],
        labels=(after[..., 0] - after[..., 1]).tolist(),
        no_swap_labels=(shares[target, :, 0] - shares[target, :, 1]).tolist(),
        values=shares[source, -1, swapped].tolist(),
        variables=[("opens", "closes")[each] for each in swapped],
        split=SHARES,
        seed=seed,
    )
    frames = {name: _inner_frame(module) @ program.basis(name).numpy() for name in ("opens", "closes")}
    fields = {"method": "das", "rank": {"opens": 1, "closes": 1}, "start": "random", "search": BALANCE_SEARCH}
    return Case(data, fields | {"seed": seed}, (frames,))


def bracket_shares(text: str) -> Float[np.ndarray, "time 2"]:
    """Return the shares of `(` and of `)` among the tokens up to each, and 0 before the first."""
    hits = np.array([[token == bracket for bracket in "()"] for token in text])
    return np.vstack([np.zeros(2), hits.cumsum(axis=0) / np.arange(1, len(text) + 1)[:, None]])


def _module(name: str) -> TracrTransformer:
    return TracrTransformer(Program.load(name))


def _place(module: TracrTransformer, at: str) -> str:
    """Return the part of a state that is not read out. Where it is, a subspace could write the output by itself."""
    return f"{at}[0:{module.inner}]"


def _inner_frame(module: TracrTransformer) -> Float[np.ndarray, "inner directions"]:
    return module.frame[: module.inner].numpy().astype(np.float64)


def _numbers(outputs: Float[Tensor, "rows time 1"]) -> Float[Tensor, "rows time"]:
    return outputs[..., 0]


def _count_rows(
    which: Sequence[Counter], modules: Sequence[TracrTransformer], values: Sequence[int], *, at: str, seed: int
) -> Counterfactuals:
    """Return rows that swap the count at one place of each network. Every value is as likely as any other."""
    rng = numpy_stream(seed, "rows")
    of_source, of_target = rng.choice(values, size=(2, ROWS))
    columns: dict[str, list[Any]] = {name: [] for name in ("source", "target", "from", "to", "labels", "own", "sites")}
    for counter, module in zip(which, modules, strict=True):
        program = Program.load(counter.name)
        source, target = (_drawn(counter, each, rng) for each in (of_source, of_target))
        ids = [np.array([program.ids(text) for text, _ in drawn]) for drawn in (source, target)]
        columns["source"].append(ids[0])
        columns["target"].append(ids[1])
        columns["from"].append([1 + place for _, place in source])
        columns["to"].append([1 + place for _, place in target])
        columns["labels"].append([counter.answer(int(n), *each) for n, each in zip(of_source, target, strict=True)])
        columns["own"].append([counter.answer(int(n), *each) for n, each in zip(of_target, target, strict=True)])
        columns["sites"].append(Site(module, _place(module, at), inputs=ids[0][:3], name=counter.name))
    return Counterfactuals.from_arrays(
        columns["sites"],
        source_inputs=PerSite(columns["source"]),
        target_inputs=PerSite(columns["target"]),
        labels=PerSite(columns["labels"]),
        source_positions=PerSite(columns["from"]),
        target_positions=PerSite(columns["to"]),
        label_positions=PerSite(columns["to"]),
        no_swap_labels=PerSite(columns["own"]),
        values=of_source.tolist(),
        variable="count",
        split=SHARES,
        seed=seed,
    )


def _drawn(counter: Counter, values: Int[np.ndarray, " rows"], rng: np.random.Generator) -> Places:
    """Return a text and a position with each count. Every letter that can stand there is as likely as any other."""
    places = counter.places()
    letters = {value: [letter for letter in LETTERS if places[value, letter]] for value in range(CLASSES)}
    drawn = [places[value, letters[value][rng.integers(len(letters[value]))]] for value in values.tolist()]
    return [each[rng.integers(len(each))] for each in drawn]


PROBLEMS = (
    Problem(
        "tracr-count",
        "A RASP program that counts the a's of five letters, compiled by tracr. The count has a named direction for "
        "each value, and the letter, which the answer needs too, has others. Counts of 1 to 4 occur with every letter.",
        True,
        lambda seed: counters([COUNT], [_module("count")], COUNTS, seed),
    ),
    Problem(
        "tracr-count-confounded",
        "The same with counts of 0 to 5: no letter is an a where the count is 0, and all are where it is 5. So the "
        "letter tells of the count, and its directions lie in the way of the subspace.",
        True,
        lambda seed: counters([COUNT], [_module("count")], range(CLASSES), seed),
    ),
    Problem(
        "tracr-count-default",
        "The count of 1 to 4 at the least rank, 3, with the search as it is by default. What all values have in common "
        "must not take one of the three dimensions.",
        True,
        default_search,
    ),
    Problem(
        "tracr-count-rotated",
        "The same network, and one that computes the same in a rotated and wider residual stream.",
        True,
        lambda seed: counters([COUNT, COUNT], [_module("count"), rotated(Program.load("count"), seed)], COUNTS, seed),
    ),
    Problem(
        "tracr-count-histogram",
        "Two programs compiled by tracr: one counts the a's, the other the letters like the one at a position. Their "
        "answers differ, but both write the count along a named direction for each value.",
        True,
        lambda seed: counters([COUNT, HISTOGRAM], [_module("count"), _module("histogram")], COUNTS, seed),
    ),
    Problem(
        "tracr-balance",
        "A RASP program that subtracts the share of closing brackets from that of opening ones, compiled by tracr. "
        "Each share is a number along one named direction, and the output is their difference.",
        True,
        balance,
    ),
    Problem(
        "tracr-before-count",
        "The network that counts the a's, at the embedding of a letter. The count depends on all letters, and no other "
        "letter has been read there.",
        False,
        before_count,
        ceiling=ceiling_before_count(),
    ),
)
"""The problems of compiled programs."""
