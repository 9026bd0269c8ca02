"""Sites in modules as users write them, against runs of the same modules taken apart by hand."""

import copy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import causalign as ca
from causalign.networks.token_ids import require_distinct, with_pad
from causalign.sites.base import Continuation, Places, Site
from causalign.sites.checks import check
from causalign.sites.modules.hooks import ModuleSite
from causalign.tasks.counting import MultiObject

TASK = MultiObject()
TOKENS = {"B": 4, "E": 3, "R": 9, "D0": 7, "D1": 1, "D2": 5, "T": 2}
VOCABULARY = 10


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """A second one has nothing to do in modules this small, and costs more than it brings."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def seeded(make: Callable[[], nn.Module]) -> nn.Module:
    """A module in evaluation mode, its weights drawn without touching the global generator."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return make().eval()


class Recurrent(nn.Module):
    """Embedding, recurrence, readout; with positions added before the readout, or time first, if asked for."""

    def __init__(self, kind: Callable[..., nn.RNNBase], positions: bool = False, **options: Any) -> None:
        super().__init__()
        self.embed = nn.Embedding(VOCABULARY, 6)
        self.rnn = kind(6, 8, **{"batch_first": True, **options})
        self.out = nn.Linear(self.rnn.proj_size or 8 * (1 + self.rnn.bidirectional), VOCABULARY)
        self.positions = nn.Embedding(64, self.out.in_features) if positions else None

    def forward(self, ids: Tensor) -> Tensor:
        embedded = self.embed(ids)
        if self.rnn.batch_first:
            states = self.rnn(embedded)[0]
        else:
            states = self.rnn(embedded.transpose(0, 1))[0].transpose(0, 1)
        if self.positions is not None:
            states = states * torch.sigmoid(self.positions.weight[: ids.shape[1]])
        logits: Tensor = self.out(states)
        return logits


class Block(nn.Module):
    """Causal attention with one head, and an MLP; gives its residual stream as `wrap` says."""

    def __init__(self, wrap: Callable[[Tensor], Any], causal: bool = True) -> None:
        super().__init__()
        self.project, self.mlp = nn.Linear(8, 24), nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 8))
        self.wrap, self.causal = wrap, causal

    def stream(self, x: Tensor) -> Tensor:
        query, key, value = self.project(x).chunk(3, dim=-1)
        scores = query @ key.mT / 8**0.5
        if self.causal:
            scores = scores.masked_fill(torch.ones(scores.shape[-2:]).tril() == 0, -torch.inf)
        x = x + scores.softmax(-1) @ value
        changed: Tensor = x + self.mlp(x)
        return changed

    def forward(self, x: Tensor) -> Any:
        return self.wrap(self.stream(x))


class Named(NamedTuple):
    """A container with names."""

    weights: None
    hidden: Tensor


WRAPS: dict[str, tuple[Callable[[Tensor], Any], Callable[[Any], Tensor]]] = {
    "tensor": (lambda x: x, lambda out: out),
    "tuple": (lambda x: (None, x, x.sum()), lambda out: out[1]),
    "list": (lambda x: [x], lambda out: out[0]),
    "dict": (lambda x: {"ids": x[:, :, 0] > 0, "hidden": x}, lambda out: out["hidden"]),
    "named tuple": (lambda x: Named(None, x), lambda out: out.hidden),
    "nested": (lambda x: ({"hidden": x}, "label"), lambda out: out[0]["hidden"]),
    "twice": (lambda x: (x, {"again": x}), lambda out: out[1]["again"]),
    "time first": (lambda x: x.transpose(0, 1), lambda out: out.transpose(0, 1)),
    "heads": (lambda x: x.unflatten(2, (2, 4)), lambda out: out.flatten(2)),
}


class Transformer(nn.Module):
    """Learned positions, two blocks, an unembedding tied to the embedding; logits as `give` says."""

    def __init__(self, wrap: str = "tensor", give: Callable[[Tensor], Any] = lambda x: x, causal: bool = True) -> None:
        super().__init__()
        self.embed, self.positions = nn.Embedding(VOCABULARY, 8), nn.Embedding(64, 8)
        self.blocks = nn.ModuleList(Block(WRAPS[wrap][0], causal) for _ in range(2))
        self.unembed = nn.Linear(8, VOCABULARY, bias=False)
        self.unembed.weight = self.embed.weight
        self.wrap, self.give = wrap, give

    def forward(self, ids: Tensor) -> Any:
        x = self.embed(ids) + self.positions.weight[: ids.shape[1]]
        for block in self.blocks:
            x = WRAPS[self.wrap][1](block(x))
        return self.give(self.unembed(x))


def site(module: Any, at: str, **options: Any) -> ModuleSite:
    made = ca.Site(module, at, task=TASK, tokens=TOKENS, **options)
    assert isinstance(made, ModuleSite)
    return made


def swaps(of: Site, count: int = 12) -> tuple[Tensor, Places, Continuation]:
    """Trials, and a swap at a random place of each, the longest continuation first."""
    trials = TASK.trials(count, np.random.default_rng(1))
    positions = torch.from_numpy(np.random.default_rng(2).integers(0, trials.lengths - 1))
    remaining = torch.from_numpy(trials.lengths) - positions - 1
    order = remaining.argsort(descending=True, stable=True)
    tokens = of.encode(trials.tokens)
    rest = torch.stack([tokens[row].roll(-1 - int(positions[row])) for row in order])
    return tokens, Places(order, positions[order]), Continuation.pack(rest, remaining[order])


def drawn(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def expected(
    tokens: Tensor, places: Places, continuation: Continuation, logits_of: Callable[[int, Tensor, int], Tensor]
) -> Tensor:
    """The logits of the continuation, one trial at a time: `logits_of(rank, tokens [1, time], position)`."""
    logits = [
        logits_of(rank, tokens[trial][None], int(position))
        for rank, (trial, position) in enumerate(zip(places.trial.tolist(), places.position, strict=True))
    ]
    at = places.position[continuation.trial] + continuation.step
    return torch.stack(logits)[continuation.trial, at]


def stepped(module: Recurrent, ids: Tensor, position: int, state: Tensor | None) -> tuple[Tensor, Tensor]:
    """Logits and carried states, one call of the recurrence a token, all layers' h (and c) set after one of them."""
    rnn, layers = module.rnn, module.rnn.num_layers
    carry: Any = None
    outputs, states = [], []
    for t in range(ids.shape[1]):
        x = module.embed(ids[:, t : t + 1])
        out, carry = rnn(x if rnn.batch_first else x.transpose(0, 1), carry)
        if state is not None and t == position:
            size = rnn.proj_size or 8
            h = state[: layers * size].view(layers, 1, size)
            carry = (h, state[layers * size :].view(layers, 1, 8)) if isinstance(rnn, nn.LSTM) else h
            out = h[-1:]
        outputs.append(out.reshape(-1))
        states.append(torch.cat([part.flatten() for part in (carry if isinstance(carry, tuple) else (carry,))]))
    hidden = torch.stack(outputs)
    if module.positions is not None:
        hidden = hidden * torch.sigmoid(module.positions.weight[: len(hidden)])
    return module.out(hidden), torch.stack(states)


RECURRENCES: list[tuple[type[nn.RNNBase], dict[str, Any], int]] = [
    (nn.GRU, {}, 8),
    (nn.GRU, {"num_layers": 3, "dropout": 0.5}, 24),
    (nn.GRU, {"num_layers": 2, "batch_first": False}, 16),
    (nn.LSTM, {}, 16),
    (nn.LSTM, {"num_layers": 2, "batch_first": False}, 32),
    (nn.LSTM, {"num_layers": 2, "proj_size": 3}, 22),
    (nn.RNN, {"num_layers": 2, "nonlinearity": "relu"}, 16),
    (nn.RNN, {"bias": False}, 8),
]


@pytest.mark.filterwarnings("ignore:LSTM with projections:UserWarning")
@pytest.mark.parametrize("positions", [False, True])
@pytest.mark.parametrize(("kind", "options", "width"), RECURRENCES)
def test_what_a_recurrence_carries_is_swapped_as_in_a_run_token_by_token(
    kind: type[nn.RNNBase], options: dict[str, Any], width: int, positions: bool
) -> None:
    module = seeded(lambda: Recurrent(kind, positions, **options))
    assert isinstance(module, Recurrent)
    of = site(module, "rnn")
    assert of.width == width
    alone = kind is not nn.RNN and not options
    shortest = "runs the recurrence alone" if alone else "runs on from the swap"
    assert of.how == ("runs the whole module for every swap" if positions else shortest)
    tokens, places, continuation = swaps(of)
    states = drawn(len(tokens), width)
    with torch.no_grad():
        found = of.resume(of.prefix(tokens), places, states, continuation)
        ours = expected(tokens, places, continuation, lambda rank, ids, at: stepped(module, ids, at, states[rank])[0])
        torch.testing.assert_close(found, ours, atol=1e-5, rtol=1e-5)
        read = torch.stack([stepped(module, ids[None], 0, None)[1] for ids in tokens])
    torch.testing.assert_close(of.read(tokens), read, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("layers", "positions"), [(1, False), (2, False), (1, True)])
def test_the_gradient_at_a_recurrence_is_that_of_a_run_token_by_token(layers: int, positions: bool) -> None:
    module = seeded(lambda: Recurrent(nn.LSTM, positions, num_layers=layers))
    assert isinstance(module, Recurrent)
    of = site(module, "rnn")
    tokens, places, continuation = swaps(of, 3)
    states = drawn(3, of.width).requires_grad_()
    found = of.resume(of.prefix(tokens), places, states, continuation)
    ours = expected(tokens, places, continuation, lambda rank, ids, at: stepped(module, ids, at, states[rank])[0])
    weights = drawn(*found.shape)
    of_found, of_ours = (torch.autograd.grad((weights * each).sum(), states)[0] for each in (found, ours))
    torch.testing.assert_close(of_found, of_ours, atol=1e-5, rtol=1e-4)


class Around(Recurrent):
    """Which shows its readout the token beside the state, and its recurrence what another makes of the token."""

    def __init__(self, kind: Callable[..., nn.RNNBase], second: bool, **options: Any) -> None:
        super().__init__(kind, **options)
        self.beside, self.second = nn.Embedding(VOCABULARY, 8), nn.GRU(6, 6, batch_first=True) if second else None

    def forward(self, ids: Tensor) -> Tensor:
        embedded = self.embed(ids)
        embedded = embedded if self.second is None else self.second(embedded)[0]
        turned = embedded if self.rnn.batch_first else embedded.transpose(0, 1)
        states = self.rnn(turned)[0]
        states = states if self.rnn.batch_first else states.transpose(0, 1)
        logits: Tensor = self.out(states + self.beside(ids))
        return logits


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize(("kind", "second"), [(nn.GRU, False), (nn.LSTM, False), (nn.GRU, True)])
def test_a_shortcut_is_the_whole_run_or_is_not_taken(
    kind: Callable[..., nn.RNNBase], second: bool, batch_first: bool
) -> None:
    module = seeded(lambda: Around(kind, second, batch_first=batch_first))
    of = site(module, "rnn")
    assert of.how == ("runs the whole module for every swap" if second else "runs the recurrence alone")
    tokens, places, continuation = swaps(of)
    states = drawn(len(tokens), of.width)
    found = of.resume(of.prefix(tokens), places, states, continuation)

    def in_two_parts(rank: int, ids: Tensor, position: int) -> Tensor:
        """The module's own run, its recurrence cut in two at the swap."""
        assert isinstance(module, Around)
        embedded = module.embed(ids) if module.second is None else module.second(module.embed(ids))[0]
        h, *c = (part.view(1, 1, 8) for part in states[rank].split(8))
        turned = embedded if batch_first else embedded.transpose(0, 1)
        later = turned[:, position + 1 :] if batch_first else turned[position + 1 :]
        after = module.rnn(later, (h, c[0]) if c else h)[0].reshape(-1, 8)
        logits: Tensor = module.out(torch.cat([h[0], after]) + module.beside(ids[0, position:]))
        return functional.pad(logits, (0, 0, position, 0))

    torch.testing.assert_close(found, expected(tokens, places, continuation, in_two_parts), atol=1e-5, rtol=1e-5)


def by_hand(module: Transformer, ids: Tensor, at: str, first: int, states: Tensor) -> Tensor:
    """Logits of one trial with the states from position `first` on replaced: block by block, without any hook."""

    def put(x: Tensor) -> Tensor:
        return torch.cat([x[:, :first], states[None], x[:, first + len(states) :]], dim=1)

    x = module.embed(ids)
    x = (put(x) if at == "embed" else x) + module.positions.weight[: ids.shape[1]]
    for index, block in enumerate(module.blocks):
        assert isinstance(block, Block)
        x = block.stream(x)
        x = put(x) if at == f"blocks.{index}" else x
    return functional.linear(x, module.embed.weight)[0]


@pytest.mark.parametrize("at", ["embed", "blocks.0", "blocks.1"])
@pytest.mark.parametrize("wrap", WRAPS)
def test_a_swap_in_any_container_equals_the_block_run_by_hand(wrap: str, at: str) -> None:
    module = seeded(lambda: Transformer(wrap))
    assert isinstance(module, Transformer)
    of = site(module, at)
    tokens, places, continuation = swaps(of)
    single, steps = drawn(len(tokens), 8), drawn(*tokens.shape, 8)
    with torch.no_grad():
        found = of.resume(of.prefix(tokens), places, single, continuation)
        ours = expected(
            tokens, places, continuation, lambda rank, ids, t: by_hand(module, ids, at, t, single[rank][None])
        )
        torch.testing.assert_close(found, ours, atol=1e-5, rtol=1e-5)
        found = of.resume_steps(of.prefix(tokens, stepwise=True), places, steps, continuation)
        ours = expected(
            tokens, places, continuation, lambda rank, ids, t: by_hand(module, ids, at, 0, steps[rank, : t + 1])
        )
        torch.testing.assert_close(found, ours, atol=1e-5, rtol=1e-5)
    check(of, stepwise=True)


class Answer:
    """What a module may give instead of logits."""

    def __init__(self, logits: Tensor) -> None:
        self.logits = logits


@pytest.mark.parametrize(
    "give", [Answer, lambda x: (x, None), lambda x: {"loss": None, "logits": x}, lambda x: x.clone()]
)
def test_logits_are_found_in_what_the_module_gives(give: Callable[[Tensor], Any]) -> None:
    plain, other = (seeded(lambda g=g: Transformer(give=g)) for g in (lambda x: x, give))  # type: ignore[misc]
    a, b = (site(each, "blocks.0") for each in (plain, other))
    tokens, places, continuation = swaps(a)
    states = drawn(len(tokens), 8)
    found, ours = (each.resume(each.prefix(tokens), places, states, continuation) for each in (b, a))
    torch.testing.assert_close(found, ours)
    assert a.network.fingerprint == b.network.fingerprint


class Zoo(nn.Module):
    """A user's module around the weights of a shipped network."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.tokens, self.memory, self.answer = network.embedding, network.cell, network.readout

    def forward(self, input_ids: Tensor) -> Tensor:
        logits: Tensor = self.answer(self.memory(self.tokens(input_ids))[0])
        return logits


@pytest.mark.parametrize("architecture", ["gru", "lstm"])
def test_a_users_module_around_shipped_weights_is_the_shipped_site(architecture: str) -> None:
    network = ca.zoo.load(f"multi-object/{architecture}")
    for at, shipped in (("memory", network.site("hidden")), ("tokens", network.site("embedding"))):
        ours = ca.Site(Zoo(network).eval(), at, task=network.task, tokens=network.ids)
        tokens, places, continuation = swaps(shipped, 40)
        torch.testing.assert_close(ours.read(tokens), shipped.read(tokens), atol=3e-5, rtol=1e-4)
        states = shipped.read(tokens)[places.trial.flip(0), places.position]
        found, expected_logits = (
            each.resume(each.prefix(tokens), places, states, continuation) for each in (ours, shipped)
        )
        torch.testing.assert_close(found, expected_logits, atol=1e-4, rtol=1e-4)


def test_an_alignment_with_a_users_module_is_that_of_the_shipped_network(tmp_path: Path) -> None:
    a, b = (ca.zoo.load("multi-object/gru", seed=seed) for seed in (0, 1))
    ours = ca.Site(Zoo(a).eval(), "memory", task=a.task, tokens=a.ids, name="mine")
    few: dict[str, Any] = {"rank": 8, "n_train": 300, "n_validation": 100, "n_test": 200, "memory": 0.0}
    few["search"] = ca.SearchConfig(max_steps=2, batch_size=32)
    found, shipped = (ca.align([each, b.site("hidden")], **few) for each in (ours, a.site("hidden")))
    np.testing.assert_allclose(found.iia["iia"], shipped.iia["iia"], atol=0.011)
    assert list(found.iia["source"][:2]) == ["mine@memory"] * 2
    found.save(tmp_path / "saved")
    again = ca.load_alignment(tmp_path / "saved")
    assert again.record.sites[0].fingerprint == ours.network.fingerprint
    assert again.worst_iia == found.worst_iia
    ours_compared, compared = (
        ca.compare(each, b.site("hidden"), draws=2, samples=100, trials_each=2) for each in (ours, a.site("hidden"))
    )
    np.testing.assert_allclose(ours_compared["value"], compared["value"], atol=1e-3)


def test_stepwise_swaps_and_learning_in_bfloat16_go_through_align() -> None:
    few: dict[str, Any] = {"rank": 3, "n_train": 60, "n_validation": 20, "n_test": 30}
    few["search"] = ca.SearchConfig(max_steps=2, eval_every=1, batch_size=8, precision="bfloat16")
    embedded = site(seeded(Transformer), "embed")
    other = ca.networks.build("multi-object", "gru", seed=0, width=6)
    stepwise = ca.align([embedded, other.site("embedding")], method="mas-stepwise", **few)
    assert stepwise.iia["iia"].between(0, 1).all()
    recurrent = site(seeded(lambda: Recurrent(nn.GRU)), "rnn")
    assert ca.align(recurrent, method="das", **few).record.steps == 2
    with pytest.raises(ca.CausalignError, match="cannot be swapped stepwise: each state replaces all"):
        ca.align(recurrent, method="das-stepwise", **few)


def test_logits_of_whole_trials_are_never_needed_where_a_linear_layer_gives_them() -> None:
    module = seeded(lambda: Recurrent(nn.GRU))
    of = site(module, "rnn")
    tokens, places, continuation = swaps(of)
    calls: list[torch.Size] = []
    hook = module.out.register_forward_hook(lambda _, __, out: calls.append(out.shape))  # type: ignore[union-attr]
    features = of.run_from(of.prefix(tokens), places, drawn(len(tokens), 8), continuation)
    of.read(tokens)
    assert calls == []
    assert features.shape == (len(continuation.tokens), 8)
    assert of.read_out(features[:3]).shape == (3, VOCABULARY)
    hook.remove()


@pytest.mark.parametrize("how", ["torch.compile", "submodule", "in place"])
def test_a_compiled_module_is_run_as_it_was_written(how: str) -> None:
    plain = seeded(lambda: Recurrent(nn.GRU))
    module: Any = copy.deepcopy(plain)
    if how == "torch.compile":
        module = torch.compile(module, backend="eager")
    elif how == "submodule":
        module.out = torch.compile(module.out, backend="eager")
    else:
        module.compile(backend="eager")
    tokens = torch.ones(2, 5, dtype=torch.long)
    with torch.no_grad():
        torch.testing.assert_close(module(tokens), plain(tokens))  # compiled by now
    a, b = site(plain, "rnn"), site(module, "rnn")
    tokens, places, continuation = swaps(a)
    found, ours = (each.resume(each.prefix(tokens), places, drawn(12, 8), continuation) for each in (b, a))
    torch.testing.assert_close(found, ours)
    assert b.name == "Recurrent@rnn"


@pytest.mark.parametrize(("make", "at"), [(lambda: Recurrent(nn.GRU, num_layers=2), "rnn"), (Transformer, "blocks.0")])
def test_half_precision_is_swapped_in_half_precision(make: Callable[[], nn.Module], at: str) -> None:
    whole = site(seeded(make), at)
    half = site(seeded(make).to(torch.bfloat16), at)
    assert half.dtype == torch.bfloat16
    tokens, places, continuation = swaps(whole)
    assert half.read(tokens).dtype == torch.bfloat16
    states = drawn(len(tokens), whole.width)
    found, ours = (
        each.resume(each.prefix(tokens), places, states.to(each.dtype), continuation) for each in (half, whole)
    )
    torch.testing.assert_close(found.float(), ours, atol=0.15, rtol=0.1)


def test_the_places_of_a_module_are_listed_with_their_widths() -> None:
    class Odd(Recurrent):
        def __init__(self) -> None:
            super().__init__(nn.LSTM, num_layers=2)
            self.never, self.twice, self.flat = nn.Linear(8, 8), nn.Tanh(), nn.Flatten(0)
            self.both = nn.GRU(6, 4, bidirectional=True, batch_first=True)

        def forward(self, ids: Tensor) -> Tensor:
            embedded = self.embed(ids)
            self.flat(embedded), self.both(embedded)
            logits: Tensor = self.twice(self.twice(self.out(self.rnn(embedded)[0])))
            return logits

    listed = ca.sites_of(seeded(Odd)).set_index("at")
    widths = listed["width"].dropna().to_dict()
    assert widths == {"embed": 6, "rnn": 32, "out": 10}
    assert listed["module"].to_dict() | {"rnn": "LSTM", "never": "Linear"} == listed["module"].to_dict()
    assert listed["state"].to_dict() == {
        "embed": "output",
        "rnn": "carried",
        "out": "output",
        "never": "none: never is not called in a run of the module: it has no state to be swapped",
        "twice": "none: twice is called 2 times in a run of the module: it has no single state",
        "flat": "none: flat returns no tensor [trials, time, width]; found Tensor of shape [126]",
        "both": "none: both is bidirectional: its states depend on later tokens",
    }
    with pytest.raises(ca.CausalignError, match=r"^Odd: twice is called 2 times in a run of the module"):
        site(seeded(Odd), "twice")


class Noisy(Recurrent):
    """Whose readout still drops units, evaluation mode or not."""

    def forward(self, ids: Tensor) -> Tensor:
        return functional.dropout(super().forward(ids), 0.5)


class Deaf(Recurrent):
    """In which nothing that is read of `out` gets anywhere; `still` cuts gradients instead."""

    def __init__(self, still: bool = False) -> None:
        super().__init__(nn.GRU)
        self.still, self.aside = still, nn.Linear(6, 6)

    def forward(self, ids: Tensor) -> Tensor:
        self.aside(self.embed(ids))
        if self.still:
            return self.out(self.rnn(self.embed(ids).detach().round(decimals=1))[0].detach())
        return super().forward(ids)


class MixedUp(Recurrent):
    """Whose recurrence takes trials for time."""

    def forward(self, ids: Tensor) -> Tensor:
        return self.out(self.rnn(self.embed(ids))[0])


class Masked(Transformer):
    """Gives NaN."""

    def forward(self, ids: Tensor) -> Any:
        return super().forward(ids) * torch.tensor(float("nan"))


def quantised() -> nn.Module:
    return torch.ao.quantization.quantize_dynamic(Recurrent(nn.GRU), {nn.Linear})  # and still in training mode


def of_whole_numbers() -> nn.Module:
    module = Recurrent(nn.GRU)
    module.out.weight = nn.Parameter(module.out.weight.round().to(torch.int8), requires_grad=False)
    return module


REFUSED: dict[str, tuple[Callable[[], nn.Module], str, str]] = {
    "misspelt": (lambda: Recurrent(nn.GRU), "rn", r"unknown site of Recurrent 'rn'; did you mean 'rnn'\?"),
    "bidirectional": (lambda: Recurrent(nn.GRU, bidirectional=True), "rnn", "Recurrent: rnn is bidirectional"),
    "encoder": (lambda: Transformer(causal=False), "blocks.0", "change by .* with later tokens .is it an encoder"),
    "bidirectional before": (lambda: Recurrent(nn.GRU, bidirectional=True), "embed", "with later tokens"),
    "mixed up": (lambda: MixedUp(nn.GRU, batch_first=False), "embed", "change by .* with other trials"),
    "mixed up rnn": (lambda: MixedUp(nn.GRU, batch_first=False), "rnn", "batch_first=False.*trials are not where"),
    "random": (lambda: Noisy(nn.GRU), "rnn", "two runs of Noisy on the same trials differ; is something still random"),
    "without effect": (Deaf, "aside", "Deaf@aside: swapping its state leaves every output unchanged"),
    "without gradient": (lambda: Deaf(still=True), "rnn", "Deaf@rnn: no gradient reaches its state"),
    "NaN": (Masked, "blocks.0", "the logits of Masked are NaN or infinite"),
    "few embeddings": (lambda: nn.Sequential(nn.Embedding(5, 4), nn.Linear(4, 10)), "0", "ids 0 to 4, found 9 for R"),
    "few logits": (lambda: nn.Sequential(nn.Embedding(10, 4), nn.Linear(4, 5)), "0", "ids 0 to 4, found 9 for R"),
    "no logits": (
        lambda: Transformer(give=lambda x: {"scores": x}),
        "blocks.0",
        "Transformer returns dict with scores; expect",
    ),
    "last only": (lambda: Transformer(give=lambda x: x[:, -1]), "blocks.0", r"returns \[3, 10\] for \[3, 7\] token"),
    "not on ids": (lambda: nn.Linear(7, 7), "weight", "Linear cannot be run on token ids .3, 7. alone: RuntimeError"),
    "no weights": (nn.Identity, "x", "Identity has no weights"),
    "quantised": (quantised, "embed", r"Recurrent is quantized \(out is a torch.ao.*quantized.*Linear\); load it in"),
    "whole numbers": (of_whole_numbers, "rnn", r"Recurrent is quantized \(out.weight is torch.int8\); load it in"),
    "elsewhere": (
        lambda: Recurrent(nn.GRU).to("meta"),
        "rnn",
        "weights of Recurrent are on the meta device, without values",
    ),
    "scripted": (lambda: torch.jit.trace(Recurrent(nn.GRU), torch.ones(1, 4).long()), "rnn", "compiled by torch.jit"),
}


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning")
@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor:UserWarning")
@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_work_is_refused_in_one_line(case: str) -> None:
    make, at, message = REFUSED[case]
    with pytest.raises(ca.CausalignError, match=message) as refused:
        site(seeded(make), at)
    assert "\n" not in str(refused.value)


def test_a_module_that_is_refused_is_left_as_it_was_and_one_that_is_taken_is_frozen() -> None:
    module = seeded(lambda: Transformer(causal=False))
    with pytest.raises(ca.CausalignError, match="with later tokens"):
        site(module, "blocks.0")
    assert all(weight.requires_grad for weight in module.parameters())
    assert not any(each._forward_hooks or each._forward_pre_hooks for each in module.modules())
    of = site(seeded(Transformer), "blocks.0")
    assert not any(weight.requires_grad for weight in of.network.parameters())
    of.read(torch.ones(2, 5, dtype=torch.long))
    assert not any(each._forward_hooks or each._forward_pre_hooks for each in of.network.modules())


def test_training_mode_and_other_things_than_modules_are_refused() -> None:
    module = seeded(lambda: Recurrent(nn.GRU, num_layers=2, dropout=0.5))
    with pytest.raises(ca.CausalignError, match=r"^Recurrent is in training mode \(Recurrent\); call its \.eval"):
        site(module.train(), "rnn")
    module.eval().rnn.train()  # type: ignore[union-attr]
    with pytest.raises(ca.CausalignError, match=r"^Recurrent is in training mode \(rnn\)"):
        site(module, "rnn")
    with pytest.raises(ca.CausalignError, match=r"^a site is a place in a torch\.nn\.Module; found function"):
        site(lambda x: x, "rnn")
    with pytest.raises(ca.CausalignError, match=r"^unknown task 'multi-objet'; did you mean 'multi-object'"):
        ca.Site(seeded(Transformer), "embed", task="multi-objet", tokens=TOKENS)
    with pytest.raises(ca.CausalignError, match="from 1 to 8, the width of Recurrent@rnn, or auto; found 9"):
        ca.align(site(seeded(lambda: Recurrent(nn.GRU)), "rnn"), method="das", rank=9)


def test_tokens_that_do_not_fit_are_refused() -> None:
    for tokens, message in (
        ({**TOKENS, "R": 3}, "the tokens E and R have the same id 3 in Transformer"),
        ({"B": 1, "E": 2}, "Transformer does not know the tokens .*R.*; it knows P, B, E"),
    ):
        with pytest.raises(ca.CausalignError, match=message):
            ca.Site(seeded(Transformer), "embed", task=TASK, tokens=tokens)
    with pytest.raises(ca.CausalignError, match=r"^tokens must map each token to its id in mine, .*; found list"):
        with_pad(["B", "E"], "mine")
    with pytest.raises(ca.CausalignError, match=r"^mine has the token ids 0 to 9, found '3' for R"):
        require_distinct({**TOKENS, "R": "3"}, 10, "mine")


class Stretched(Recurrent):
    """Whose logits depend a little on how long trials are."""

    def forward(self, ids: Tensor) -> Tensor:
        return super().forward(ids) * (1 + 1e-4 * ids.shape[1])


def test_what_differs_by_less_than_the_tolerance_is_taken() -> None:
    stretched = seeded(lambda: Stretched(nn.GRU))
    with pytest.raises(ca.CausalignError, match="the logits of Stretched change by .* with the length of a trial"):
        site(stretched, "rnn")
    taken = site(stretched, "rnn", tolerance=1e-2)
    assert taken.tolerance == 1e-2
    assert taken.how == "runs the whole module for every swap"
