from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

import causalign as ca
from causalign.sites.base import Continuation, Places
from causalign.sites.checks import check
from causalign.sites.prefix import Prefix
from causalign.sites.readable import finite
from causalign.sites.recurrent.recurrence import run_from
from causalign.sites.recurrent.sites import HiddenState
from causalign.sites.uri import open_site
from causalign.tasks.counting import MultiObject
from naive_interchange import hooked_gru_logits, hooked_logits
from naive_networks import hooked_lstm_logits, hooked_steps_logits, naive_transformer


def whole_run(site: ca.sites.Site, tokens: Tensor, position: int, state: Tensor) -> Tensor:
    """Logits `[time, vocabulary]` of the full network run from token 0, its state swapped by a forward hook."""
    network = site.network
    if isinstance(network, ca.networks.Transformer):
        place = 0 if site.at == "embedding" else 1 if site.at == "hidden" else int(site.at[-1])
        return naive_transformer(network.state_dict(), tokens, replace={(place, position): state})["logits"]
    assert isinstance(network, ca.networks.GRU | ca.networks.LSTM)
    embedding, readout, swap = network.embedding, network.readout, (tokens, position, state)
    if site.at == "embedding":
        return hooked_logits(network, embedding, *swap)
    if isinstance(network, ca.networks.GRU):
        return hooked_gru_logits(network, network.cell, embedding, readout, *swap)
    return hooked_lstm_logits(network, network.cell, embedding, readout, *swap)


def whole_run_of_steps(site: ca.sites.Site, tokens: Tensor, states: Tensor) -> Tensor:
    """The same with the states of the first positions swapped, all of them."""
    network = site.network
    if isinstance(network, ca.networks.Transformer):
        place = 0 if site.at == "embedding" else 1 if site.at == "hidden" else int(site.at[-1])
        swapped = {(place, position): state for position, state in enumerate(states)}
        return naive_transformer(network.state_dict(), tokens, replace=swapped)["logits"]
    assert isinstance(network, ca.networks.GRU | ca.networks.LSTM)
    return hooked_steps_logits(network, network.embedding, tokens, states)


def mid_trial_swaps(site: ca.sites.Site, count: int) -> tuple[Tensor, Tensor, Tensor, Places, Continuation]:
    """Trials with their lengths, and a swap at a random place of each, the longest continuation first."""
    trials = site.task.trials(count, np.random.default_rng(1))
    tokens, lengths = site.encode(trials.tokens), torch.from_numpy(trials.lengths)
    rng = np.random.default_rng(2)
    positions = torch.tensor([int(rng.integers(0, length - 1)) for length in lengths])
    remaining = lengths - positions - 1
    order = remaining.argsort(descending=True, stable=True)
    rest = torch.zeros(count, int(remaining.max()), dtype=torch.long)
    for row, (position, length) in enumerate(zip(positions, lengths, strict=True)):
        rest[row, : length - position - 1] = tokens[row, position + 1 : length]
    return tokens, lengths, order, Places(order, positions[order]), Continuation.pack(rest[order], remaining[order])


SITES = [(arch, at) for arch in ("gru", "lstm") for at in ("hidden", "embedding")]
SITES += [("transformer", at) for at in ("embedding", "hidden", "layer.1", "layer.2")]


@pytest.mark.parametrize(("architecture", "at"), SITES)
@pytest.mark.parametrize("width", [6, 128])
def test_the_cached_engine_equals_the_hooked_full_run(architecture: str, at: str, width: int) -> None:
    site = ca.networks.build("multi-object", architecture, seed=2, width=width).site(at)
    tokens, lengths, order, places, continuation = mid_trial_swaps(site, 16)
    states = torch.randn(16, site.width, generator=torch.Generator().manual_seed(0))
    packed = site.resume(site.prefix(tokens), places, states[order], continuation)
    assert len(packed) == int((lengths[places.trial] - places.position - 1).sum())
    for rank, row in enumerate(order.tolist()):
        position, length = int(places.position[rank]), int(lengths[row])
        full = whole_run(site, tokens[row : row + 1, :length], position, states[row])
        ours = packed[continuation.trial == rank]
        torch.testing.assert_close(ours, full[position : length - 1], atol=2e-5, rtol=2e-5)


@pytest.mark.parametrize(("architecture", "at"), [s for s in SITES if s not in {("gru", "hidden"), ("lstm", "hidden")}])
@pytest.mark.parametrize("width", [6, 128])
def test_stepwise_swaps_equal_the_hooked_full_run(architecture: str, at: str, width: int) -> None:
    site = ca.networks.build("multi-object", architecture, seed=2, width=width).site(at)
    tokens, lengths, order, places, continuation = mid_trial_swaps(site, 16)
    states = torch.randn(16, tokens.shape[1], site.width, generator=torch.Generator().manual_seed(0))
    packed = site.resume_steps(site.prefix(tokens), places, states[order], continuation)
    for rank, row in enumerate(order.tolist()):
        position, length = int(places.position[rank]), int(lengths[row])
        full = whole_run_of_steps(site, tokens[row : row + 1, :length], states[row, : position + 1])
        ours = packed[continuation.trial == rank]
        torch.testing.assert_close(ours, full[position : length - 1], atol=2e-5, rtol=2e-5)


@pytest.mark.parametrize("architecture", ["gru", "lstm", "transformer"])
def test_a_stepwise_swap_of_length_one_is_a_single_swap_at_position_0(architecture: str) -> None:
    site = ca.networks.build("multi-object", architecture, seed=2, width=8).site("embedding")
    tokens = site.encode(site.task.trials(1, np.random.default_rng(0)).tokens)
    continuation = Continuation.pack(tokens[:, 1:], torch.tensor([tokens.shape[1] - 1]))
    state = torch.randn(1, site.width, generator=torch.Generator().manual_seed(0))
    prefix, places = site.prefix(tokens), Places(torch.tensor([0]), torch.tensor([0]))
    single = site.resume(prefix, places, state, continuation)
    torch.testing.assert_close(site.resume_steps(prefix, places, state[:, None], continuation), single)


def test_an_lstm_swap_moves_both_h_and_c() -> None:
    site = ca.networks.build("multi-object", "lstm", seed=0, width=12).site("hidden")
    tokens, _, order, places, continuation = mid_trial_swaps(site, 8)
    own = site.read(tokens)[places.trial, places.position]
    plain = site.resume(Prefix.empty(), places, own, continuation)
    for part in (slice(0, 6), slice(6, 12)):
        swapped = own.clone()
        swapped[:, part] += 1
        perturb = site.resume(Prefix.empty(), places, swapped, continuation)
        assert (perturb - plain).abs().max() > 1e-3
    # c does not show at once, because the readout sees h; from the next token on it does.
    swapped = own.clone()
    swapped[:, 6:] += 1
    later = site.resume(Prefix.empty(), places, swapped, continuation)
    torch.testing.assert_close(later[: len(order)], plain[: len(order)])


def test_the_gradient_of_a_cached_transformer_is_that_of_the_whole() -> None:
    network = ca.networks.build("multi-object", "transformer", seed=0, width=8)
    assert isinstance(network, ca.networks.Transformer)
    site = network.site("hidden")
    tokens, lengths, _, places, continuation = mid_trial_swaps(site, 1)
    state = torch.randn(1, 8, generator=torch.Generator().manual_seed(1)).requires_grad_()
    again = state.detach().clone().requires_grad_()
    site.resume(site.prefix(tokens), places, state, continuation).square().sum().backward()
    position = int(places.position[0])
    handle = network.layers[0].register_forward_hook(
        lambda module, inputs, out: torch.cat([out[:, :position], again[None], out[:, position + 1 :]], dim=1)
    )
    network(tokens)[0, position : int(lengths[0]) - 1].square().sum().backward()
    handle.remove()
    torch.testing.assert_close(state.grad, again.grad, atol=1e-5, rtol=1e-4)


def test_a_recurrent_state_is_not_swapped_stepwise() -> None:
    site = ca.networks.build("multi-object", "gru", seed=0, width=4).site("hidden")
    with pytest.raises(ca.CausalignError, match="cannot be swapped stepwise: each state replaces all"):
        check(site, stepwise=True)


@pytest.mark.parametrize("at", ["hidden", "embedding"])
def test_states_are_what_a_hook_sees(zoo_pair: tuple[ca.networks.GRU, ca.networks.GRU], at: str) -> None:
    network = zoo_pair[0]
    site = network.site(at)
    tokens = site.encode(site.task.trials(20, np.random.default_rng(0)).tokens)
    seen: list[Tensor] = []
    module = network.cell if at == "hidden" else network.embedding
    handle = module.register_forward_hook(lambda m, i, out: seen.append(out[0] if at == "hidden" else out))
    network(tokens)
    handle.remove()
    torch.testing.assert_close(site.read(tokens), seen[0], atol=1e-5, rtol=1e-5)


def test_the_gradient_in_the_state_is_that_of_the_whole_network(
    tiny_pair: tuple[ca.networks.GRU, ca.networks.GRU],
) -> None:
    network = tiny_pair[0]
    site = network.site("hidden")
    tokens = site.encode(site.task.trials(1, np.random.default_rng(4)).tokens)
    state = torch.randn(1, 6, generator=torch.Generator().manual_seed(1)).requires_grad_()
    continuation = Continuation.pack(tokens[:, 2:], torch.tensor([tokens.shape[1] - 2]))
    site.resume(
        Prefix.empty(), Places(torch.zeros(1, dtype=torch.long), torch.ones(1, dtype=torch.long)), state, continuation
    ).square().sum().backward()
    ours, again = state.grad, state.detach().clone().requires_grad_()
    rest = network.cell(network.embedding(tokens[:, 2:-1]), again[None])[0]
    network.readout(torch.cat([again[:, None], rest], dim=1)).square().sum().backward()
    torch.testing.assert_close(ours, again.grad)


def test_packing_lists_every_token_once_step_by_step() -> None:
    tokens = torch.tensor([[1, 2, 3], [4, 5, 0], [6, 0, 0]])
    packed = Continuation.pack(tokens, torch.tensor([3, 2, 1]))
    assert packed.tokens.tolist() == [1, 4, 6, 2, 5, 3]
    assert packed.trial.tolist() == [0, 1, 2, 0, 1, 0]
    assert packed.step.tolist() == [0, 0, 0, 1, 1, 2]
    assert packed.running == (3, 2, 1)


@pytest.mark.parametrize("at", ["hidden", "embedding"])
def test_a_sound_site_passes_its_check(zoo_pair: tuple[ca.networks.GRU, ca.networks.GRU], at: str) -> None:
    check(zoo_pair[0].site(at))


class Tampered(HiddenState):
    """A hidden state with one thing wrong."""

    def __init__(self, network: ca.networks.GRU, wrong: str) -> None:
        super().__init__(network, MultiObject())
        self.wrong, self.reads = wrong, 0

    def read(self, tokens: Tensor) -> Tensor:
        self.reads += 1
        states = super().read(tokens)
        if self.wrong == "noise":
            return states + 1e-3 * self.reads
        if self.wrong == "nan":
            states[5, 1] = float("nan")
        return states

    def run_from(self, prefix: Prefix, places: Places, state: Tensor, continuation: Continuation) -> Tensor:
        if self.wrong == "no-op":
            self.first = getattr(self, "first", state)
            state = self.first
        features = super().run_from(prefix, places, state, continuation)
        return features + 0.1 if self.wrong == "resume" else features


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("noise", "two reads of the same trials differ"),
        ("nan", "@hidden: the states of trial 5 are NaN or infinite"),
        ("no-op", "swapping its state leaves every output unchanged"),
        (
            "resume",
            r"with nothing swapped, its logits differ from the plain run's by 0.\d+; at most 0.0001 is tolerated$",
        ),
    ],
)
def test_an_unsound_site_is_refused(
    tiny_pair: tuple[ca.networks.GRU, ca.networks.GRU], wrong: str, message: str
) -> None:
    with pytest.raises(ca.CausalignError, match=message):
        check(Tampered(tiny_pair[0], wrong))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda network: network.train(), "is in training mode"),
        (lambda network: network.readout.train(), "is in training mode"),
        (lambda network: network.requires_grad_(True), "are trainable"),
    ],
)
def test_a_network_that_is_not_frozen_is_refused(spoil: Callable[[ca.Network], object], message: str) -> None:
    network = ca.networks.build("multi-object", "gru", seed=0, width=4)
    site = network.site("hidden")
    spoil(network)
    with pytest.raises(ca.CausalignError, match=message):
        network.site("hidden")
    with pytest.raises(ca.CausalignError, match=message):
        check(site)


def test_unknown_sites_and_references_are_refused(zoo_pair: tuple[ca.networks.GRU, ca.networks.GRU]) -> None:
    with pytest.raises(ca.CausalignError, match="'hiden'; did you mean 'hidden'"):
        zoo_pair[0].site("hiden")
    with pytest.raises(ca.CausalignError, match="unknown zoo network"):
        open_site("zoo:nothing/here")
    with pytest.raises(ca.CausalignError, match="/nowhere: no such folder"):
        open_site("/nowhere@hidden")


def test_references_name_network_seed_and_place(zoo_pair: tuple[ca.networks.GRU, ca.networks.GRU]) -> None:
    assert open_site("zoo:multi-object/gru").name == "multi-object/gru/0@hidden"
    site = open_site("zoo:multi-object/gru/1@embedding")
    assert site.name == "multi-object/gru/1@embedding"
    assert site.fingerprint == zoo_pair[1].fingerprint


def test_infinite_states_are_refused_by_trial(tiny_pair: tuple[ca.networks.GRU, ca.networks.GRU]) -> None:
    site = tiny_pair[0].site("hidden")
    states = torch.zeros(4, 3, 6)
    assert finite(states, site) is states
    states[2, 1, 0] = float("inf")
    with pytest.raises(ca.CausalignError, match="trial 2"):
        finite(states, site)


@pytest.mark.parametrize("architecture", ["gru", "lstm"])
def test_the_recurrences_own_derivative_is_that_of_its_definition(architecture: str) -> None:
    network = ca.networks.build("multi-object", architecture, seed=3, width=10).to(torch.float64).freeze()
    assert isinstance(network, ca.networks.GRU | ca.networks.LSTM)
    site = network.site("hidden")
    assert isinstance(site, HiddenState)
    _, _, order, _, continuation = mid_trial_swaps(site, 16)
    generator = torch.Generator().manual_seed(0)
    state = torch.randn(len(order), site.width, generator=generator, dtype=torch.float64).requires_grad_()
    gates = site._cell.gates(network.embedding.weight)
    steps = [state]
    for tokens, running in zip(continuation.tokens.split(continuation.running), continuation.running[1:], strict=False):
        steps.append(site._cell.step(gates[tokens[:running]], steps[-1][:running]))
    expected = torch.cat(steps)
    found = run_from(site._stepper, state, continuation)
    torch.testing.assert_close(found, expected, atol=1e-12, rtol=1e-12)
    weights = torch.randn(expected.shape, generator=generator, dtype=torch.float64)
    of_found, of_expected = (torch.autograd.grad((weights * each).sum(), state)[0] for each in (found, expected))
    torch.testing.assert_close(of_found, of_expected, atol=1e-12, rtol=1e-12)
