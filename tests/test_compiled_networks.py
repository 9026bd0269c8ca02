"""Problems of compiled, trained and shipped networks, against tracr's and g2p-en's own outputs and hooked runs."""

import ast
import os
import warnings
from collections.abc import Iterator
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import causalign as ca
from causalign.validation.principal_angles import largest_angles
from causalign.validation.problem import Case
from causalign.validation.problems import addition, phonemes, tracr
from causalign.validation.problems.registry import PROBLEMS
from causalign.validation.problems.tracr_transformer import Program, TracrTransformer

SHORT = 1600


@pytest.fixture(autouse=True)
def _few_rows(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    for module in (tracr, addition, phonemes):
        monkeypatch.setattr(module, "ROWS", SHORT)
    yield
    torch.set_num_threads(before)


def aligned(case: Case, **search: Any) -> ca.Alignment:
    fields = dict(case.fields)
    fields["search"] = fields["search"].model_copy(update=search)
    return ca.align(case.data, **fields)


@pytest.mark.parametrize("name", ["count", "histogram", "balance"])
def test_ported_transformer_is_that_of_tracr(name: str) -> None:
    """The residual stream after the last block equals that of tracr's own code, on all inputs of two tokens."""
    program = Program.load(name)
    module, streams = TracrTransformer(program), list[Tensor]()
    module.blocks[-1].register_forward_hook(lambda _, __, output: streams.append(output))
    with torch.no_grad():
        module(program.weights["outputs.inputs"].long())
    assert torch.allclose(streams[0] @ module.frame, program.weights["outputs.streams"], atol=1e-5)
    assert len(streams[0]) == 9


@pytest.mark.parametrize("counter", [tracr.COUNT, tracr.HISTOGRAM], ids=lambda each: each.name)
def test_compiled_programs_count(counter: tracr.Counter) -> None:
    """On every input, at every position, the answer is that of plain Python; a rotated copy gives it too."""
    program = Program.load(counter.name)
    texts = ["".join(each) for each in product("abc", repeat=5)]
    wanted = [[counter.answer(counter.value(text, at), text, at) for at in range(5)] for text in texts]
    for module in (TracrTransformer(program), tracr.rotated(program, seed=3)):
        with torch.no_grad():
            logits = module(torch.tensor([program.ids(text) for text in texts]))
        assert logits[:, 1:].argmax(-1).tolist() == wanted


def test_compiled_program_balances() -> None:
    program = Program.load("balance")
    texts = ["".join(each) for each in product("()x", repeat=6)]
    with torch.no_grad():
        last = TracrTransformer(program)(torch.tensor([program.ids(text) for text in texts]))[:, -1, 0]
    assert last.numpy() == pytest.approx([(text.count("(") - text.count(")")) / 6 for text in texts], abs=1e-4)


@pytest.mark.parametrize(
    ("name", "angle", "search"),
    [
        ("tracr-count", 10, {}),  # every row is right from the start on, and the search keeps what it has
        ("tracr-count-confounded", 2, {}),
        ("tracr-count-histogram", 5, {"batch_size": 128}),
        ("tracr-count-rotated", 5, {"batch_size": 128}),
        ("tracr-balance", 12, {"batch_size": 64}),
    ],
)
def test_variable_of_a_compiled_program_is_where_its_name_is(name: str, angle: float, search: dict[str, int]) -> None:
    case = PROBLEMS[name].draw(0)
    found = aligned(case, **search)
    assert found.worst_iia > 0.99
    angles = largest_angles(found, case)
    assert len(angles) == 2 if name.endswith(("histogram", "rotated", "balance")) else 1
    assert max(angles.values()) < angle


@pytest.mark.parametrize("name", ["tracr-before-count", "addition-before-carry"])
def test_nothing_is_swapped_before_it_is_read(name: str) -> None:
    problem = PROBLEMS[name]
    assert problem.ceiling is not None
    assert not problem.interchangeable
    found = aligned(problem.draw(0), max_steps=60)
    assert found.worst_iia < problem.ceiling + 0.06  # four standard errors of 400 rows


def test_ceilings() -> None:
    """By hand: a's count 5 is sure, and 1/6 (1 + 1/2 + 1/2); digits 0 to 9 have the carry of 9, 8, ... 5, 6, ... 10."""
    assert tracr.ceiling_before_count() == pytest.approx(1 / 3)
    assert addition.ceiling_before_carry() == pytest.approx(0.75)


@pytest.mark.parametrize("seed", addition.SEEDS)
def test_shipped_models_add(seed: int) -> None:
    ids = torch.from_numpy(addition.sums(np.arange(10_000)))
    with torch.no_grad():
        digits = addition.trained(seed)(ids[:, :-1]).logits[:, -3:].argmax(-1)
    assert bool((digits == ids[:, -3:]).all())


@pytest.mark.parametrize("seed", addition.SEEDS)
def test_carry_is_in_the_first_coordinates_of_the_shipped_models(seed: int) -> None:
    """With hooks alone: two coordinates of another sum change the tens digit by the difference of the carries."""
    model = addition.trained(seed)
    pairs = np.random.default_rng(0).integers(10_000, size=(2, 500))
    source, target = (torch.from_numpy(addition.sums(each)) for each in pairs)
    layer, states = model.model.layers[0], list[Tensor]()

    def swap(_: Any, __: Any, output: Tensor) -> Tensor:
        last = torch.cat([states[0][:, -1, : addition.CARRIERS], output[:, -1, addition.CARRIERS :]], dim=1)
        return torch.cat([output[:, :-1], last[:, None]], dim=1)

    with torch.no_grad():
        reading = layer.register_forward_hook(lambda _, __, output: states.append(output))
        model(source[:, : addition.READ])
        reading.remove()
        writing = layer.register_forward_hook(swap)
        digits = model(target[:, : addition.READ]).logits[:, -1].argmax(-1).numpy()
        writing.remove()
    carries = [(each // 100 % 10 + each % 10 >= 10).astype(int) for each in pairs]
    wanted = (target[:, addition.READ].numpy() + carries[0] - carries[1]) % 10
    assert (wanted != target[:, addition.READ].numpy()).mean() > 0.3
    assert (digits == wanted).mean() > 0.99


@pytest.mark.parametrize("name", ["addition-carry", "addition-carry-pair"])
def test_carry_of_shipped_models(name: str) -> None:
    assert aligned(PROBLEMS[name].draw(0), max_steps=100).worst_iia > 0.97


needs_g2p = pytest.mark.skipif(find_spec("g2p_en") is None, reason="g2p-en is not installed")


def numpy_g2p() -> Any:
    """The class of g2p-en, without the modules that download data when they are imported."""
    origin = getattr(find_spec("g2p_en"), "origin", None)
    file = Path(str(origin)).parent / "g2p.py"
    with warnings.catch_warnings(action="ignore"):  # its strings have escapes that Python no longer likes
        body = ast.parse(file.read_text()).body
    of_class: list[ast.stmt] = [each for each in body if isinstance(each, ast.ClassDef)]
    names: dict[str, Any] = {
        "np": np,
        "os": os,
        "dirname": str(file.parent),
        "cmudict": SimpleNamespace(dict=dict),
        "construct_homograph_dictionary": dict,
    }
    exec(compile(ast.Module(of_class, []), str(file), "exec"), names)
    return names["G2p"]()


@needs_g2p
def test_pronunciation_is_that_of_g2p_en() -> None:
    from causalign.validation.problems.pronunciation import END, Pronunciation, letter_ids, pronounce

    words = ["banana", "network", "rotation", "subspace", "causal", "letters", "brain", "mouse", "zebra", "quilt"]
    words += ["phoneme", "a", "xylophone", "jazz", "interchange", "theta", "knight", "cough", "orchid", "vowel"]
    own, network = numpy_g2p(), Pronunciation()
    for word in words:
        (spoken,) = pronounce(network, torch.tensor([letter_ids(word)]))
        assert [own.idx2p[each] for each in spoken if each != END] == own.predict(word), word


@needs_g2p
def test_letters_of_g2p_en() -> None:
    case = PROBLEMS["phonemes-letter"].draw(0)
    found = aligned(case, max_steps=0)
    assert found.worst_iia > 0.98
    assert max(largest_angles(found, case).values()) < 1


@needs_g2p
def test_planted_rotation_of_g2p_en_is_found() -> None:
    problem = PROBLEMS["phonemes-rotated"]
    case = problem.draw(0)
    found = aligned(case)
    assert found.worst_iia > 0.98
    assert case.checks is not None
    assert case.checks(found)["map error"] < problem.expected["map error"]
