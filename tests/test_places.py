"""Places by name in modules as users write them: inputs, outputs and slices, against runs with hooks made by hand."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import causalign as ca
from causalign.sites.base import Continuation, Places, Site
from causalign.sites.modules.place_name import PlaceName
from causalign.sites.modules.tensor_place import Call, TensorPlace

VOCABULARY, WIDTH = 12, 8


class Mixer(nn.Module):
    """Takes its state by keyword, after other arguments, and returns it within a tuple."""

    def __init__(self) -> None:
        super().__init__()
        self.up, self.down = nn.Linear(WIDTH, 16), nn.Linear(16, WIDTH)

    def forward(self, scale: float, *, x: Tensor, state: Tensor | None = None) -> tuple[None, Tensor]:
        past = x.cumsum(1) / torch.arange(1, x.shape[1] + 1)[:, None]
        return None, scale * self.down(torch.tanh(self.up(past)))


class Model(nn.Module):
    """Embedding, two mixers in a residual stream, a recurrence, readout."""

    def __init__(self, rnn: Callable[..., nn.RNNBase] = nn.GRU, **options: Any) -> None:
        super().__init__()
        self.embed, self.mixers = nn.Embedding(VOCABULARY, WIDTH), nn.ModuleList(Mixer() for _ in range(2))
        self.rnn, self.out = rnn(WIDTH, WIDTH, batch_first=True, **options), nn.Linear(WIDTH, VOCABULARY)
        self.flat = nn.Flatten(0)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.embed(ids)
        self.flat(x)
        for mixer in self.mixers:
            x = x + mixer(2.0, state=ids.float(), x=x)[1]
        logits: Tensor = self.out(x + self.rnn(x)[0])
        return logits


def seeded(make: Callable[[], nn.Module] = Model) -> Any:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return make().eval()


def drawn(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


def swaps(rows: int = 6, time: int = 7) -> tuple[Tensor, Places, Continuation]:
    """Inputs, and a swap in each, the longest continuation first."""
    tokens = torch.from_numpy(np.random.default_rng(0).integers(VOCABULARY, size=(rows, time)))
    position = torch.arange(rows) % (time - 1)
    position = position.sort().values
    rest = torch.stack([row.roll(-1 - int(at)) for row, at in zip(tokens, position, strict=True)])
    return tokens, Places(torch.arange(rows), position), Continuation.pack(rest, time - 1 - position)


def resumed(site: Site, states: Tensor, tokens: Tensor, places: Places, continuation: Continuation) -> Tensor:
    return site.resume(site.prefix(tokens), places, states, continuation).detach()


def packed(logits: Tensor, places: Places, continuation: Continuation) -> Tensor:
    return logits[continuation.trial, places.position[continuation.trial] + continuation.step]


WHERE: dict[str, tuple[str, str, slice]] = {
    "mixers.1": ("mixers.1", "output", slice(0, 8)),
    "mixers.1:output[2:-1]": ("mixers.1", "output", slice(2, 7)),
    "mixers.1.down:input": ("mixers.1.down", "input", slice(0, 16)),
    "mixers.1.down:input[:4]": ("mixers.1.down", "input", slice(0, 4)),
    "mixers.1.up[-3:]": ("mixers.1.up", "output", slice(13, 16)),
    "embed[6:8]": ("embed", "output", slice(6, 8)),
    "out:input": ("out", "input", slice(0, 8)),
    "rnn:input[1:3]": ("rnn", "input", slice(1, 3)),
}


@pytest.mark.parametrize("at", WHERE)
def test_a_swap_is_a_run_in_which_a_hook_writes_these_coordinates(at: str) -> None:
    model, (path, side, part) = seeded(), WHERE[at]
    site = ca.Site(model, at)
    assert (site.width, site.at) == (part.stop - part.start, at)
    tokens, places, continuation = swaps()
    states, plain = drawn(len(tokens), site.width), []

    def edit(value: Tensor, row: int) -> Tensor:
        plain.append(value[0, :, part])
        value = value.clone()
        value[0, places.position[row], part] = states[row]
        return value

    logits = []
    for row in range(len(tokens)):
        submodule = model.get_submodule(path)
        if side == "input":
            hook = submodule.register_forward_pre_hook(lambda _, args, row=row: (edit(args[0], row), *args[1:]))
        elif path == "mixers.1":
            hook = submodule.register_forward_hook(lambda _, __, out, row=row: (None, edit(out[1], row)))
        else:
            hook = submodule.register_forward_hook(lambda _, __, out, row=row: edit(out, row))
        with torch.no_grad():
            logits.append(model(tokens[row : row + 1])[0])
        hook.remove()
    found = resumed(site, states, tokens, places, continuation)
    torch.testing.assert_close(found, packed(torch.stack(logits), places, continuation), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(site.read(tokens), torch.stack(plain))


def test_the_input_is_the_first_tensor_argument_in_the_order_of_the_signature() -> None:
    model = seeded()
    site = ca.Site(model, "mixers.0:input")  # called with state=ids before x=x
    assert site.width == WIDTH
    tokens, places, continuation = swaps()
    torch.testing.assert_close(site.read(tokens), model.embed(tokens))
    states = drawn(len(tokens), WIDTH)
    with torch.no_grad():
        embedded = model.embed(tokens)
        changed = embedded.clone()
        changed[places.trial, places.position] = states
        x = embedded + model.mixers[0](2.0, x=changed)[1]  # the residual stream itself is as it was
        x = x + model.mixers[1](2.0, x=x)[1]
        logits = model.out(x + model.rnn(x)[0])
    found = resumed(site, states, tokens, places, continuation)
    torch.testing.assert_close(found, packed(logits, places, continuation), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("rnn", "layers"), [(nn.GRU, 1), (nn.LSTM, 2), (nn.RNN, 2)])
def test_a_slice_of_what_a_recurrence_carries_leaves_the_rest_as_it_is(
    rnn: Callable[..., nn.RNNBase], layers: int
) -> None:
    class Plain(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.out = nn.Embedding(VOCABULARY, 5), nn.Linear(WIDTH, VOCABULARY)
            self.rnn = rnn(5, WIDTH, num_layers=layers, batch_first=True)

        def forward(self, ids: Tensor) -> Tensor:
            logits: Tensor = self.out(self.rnn(self.embed(ids))[0])
            return logits

    model = seeded(Plain)
    site = ca.Site(model, "rnn[3:6]")
    tokens, places, continuation = swaps()
    states, logits = drawn(len(tokens), 3), []
    for row, position in enumerate(places.position.tolist()):
        carry, outputs = None, []
        for t in range(tokens.shape[1]):
            with torch.no_grad():
                out, carry = model.rnn(model.embed(tokens[row : row + 1, t : t + 1]), carry)
            if t == position:
                h = carry[0] if isinstance(carry, tuple) else carry
                h[0, 0, 3:6] = states[row]  # the first layer's
                out = h[-1:]
            outputs.append(out.reshape(-1))
        logits.append(model.out(torch.stack(outputs)).detach())
    found = resumed(site, states, tokens, places, continuation)
    torch.testing.assert_close(found, packed(torch.stack(logits), places, continuation), atol=1e-5, rtol=1e-5)


REFUSED = {
    "mixers.1.dwn:input": r"^unknown site of Model 'mixers.1.dwn'; did you mean 'mixers.1.down'",
    "mixers.1:inptu": r"^unknown side of mixers.1 'inptu'; did you mean 'input'\?",
    "mixers.1[0:9]": r"^Model: mixers.1\[0:9\] reaches beyond the state, whose width is 8",
    "mixers.1[-9:]": "reaches beyond the state, whose width is 8",
    "mixers.1[4:4]": r"^Model: mixers.1\[4:4\] is empty: the width of the state is 8",
    "mixers.1[5:-4]": "is empty",
    "mixers.1[0:8:2]": r"a slice without a step is written \[start:stop\], such as \[0:16\]; found \[0:8:2\]",
    "mixers.1[3]": r"a slice is written \[start:stop\], such as \[0:16\]; found \[3\]",
    "mixers.1:input:output": "is not the name of a place",
    "embed:input": r"embed takes no tensor \[trials, time, width\]; found \[3, 7\] of int64",
    "flat": r"flat returns no tensor \[trials, time, width\]; found Tensor of shape \[168\]",
}


@pytest.mark.parametrize("at", REFUSED)
def test_names_of_no_place_are_refused_in_one_line(at: str) -> None:
    model = seeded()
    with pytest.raises(ca.CausalignError, match=REFUSED[at]) as refused:
        ca.Site(model, at)
    assert "\n" not in str(refused.value)
    assert all(weight.requires_grad for weight in model.parameters())


def test_a_name_that_stands_for_a_slice_may_be_sliced_again() -> None:
    head = PlaceName("o_proj", "input", 24, 32)
    assert str(PlaceName.parse("head.3[2:-1]").within(head)) == "o_proj:input[26:31]"
    assert str(PlaceName.parse("mlp[:4]").within(PlaceName("layers.0.mlp"))) == "layers.0.mlp[:4]"
    with pytest.raises(ca.CausalignError, match=r"^head.3\[0:9\] reaches beyond the state, whose width is 8"):
        PlaceName.parse("head.3[0:9]").within(head)
    with pytest.raises(ca.CausalignError, match=r"^head.3:input is no place: head.3 stands for o_proj:input\[24:32\]"):
        PlaceName.parse("head.3:input").within(head)


def test_a_call_without_a_tensor_argument_has_no_input() -> None:
    class Bias(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(VOCABULARY))

        def forward(self, count: int) -> Tensor:
            return self.weight[None, None] * torch.ones(count, 7, 1)

    with pytest.raises(ca.CausalignError, match=r"bias takes no tensor \[trials, time, width\]; found no tensor"):
        TensorPlace(Bias(), PlaceName("bias", "input"), Call((3,), {}, None), (3, 7))


def test_the_list_of_places_has_the_widths_of_inputs() -> None:
    listed = ca.sites_of(seeded()).set_index("at")["input_width"]
    assert listed.dropna().to_dict() == {
        "mixers.0": 8,
        "mixers.0.up": 8,
        "mixers.0.down": 16,
        "mixers.1": 8,
        "mixers.1.up": 8,
        "mixers.1.down": 16,
        "rnn": 8,
        "out": 8,
        "flat": 8,
    }


def test_a_tensor_place_needs_no_tokens() -> None:
    module = seeded(lambda: nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(2 * 4 * 4, 5)))
    images = drawn(3, 1, 6, 6)
    call = Call((images,), {}, module[0](images))
    place = TensorPlace(module[0], PlaceName("0", start=4, stop=-4), call, (3,))
    assert place.width == 2 * 4 * 4 - 8
    other = drawn(3, place.width)
    with place.reading((3,)) as read, torch.no_grad():
        module(images)
    with place.writing((3,), lambda own: 2 * own + other), torch.no_grad():
        found = module(images)
    plain = functional.conv2d(images, module[0].weight, module[0].bias).flatten(1).detach()
    torch.testing.assert_close(read[0], plain[:, 4:-4])
    changed = torch.cat([plain[:, :4], 2 * plain[:, 4:-4] + other, plain[:, -4:]], dim=1)
    torch.testing.assert_close(found, module[2](changed).detach())
    assert not module[0]._forward_hooks
